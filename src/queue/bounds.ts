/** Every bound of a task, by name. Bytes are those of the JSON text in UTF-8. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
export const METADATA_BYTES_MAX = 64 * 1024;
export const RESULT_BYTES_MAX = 1024 * 1024;
/** Longer error texts are cut, not refused: a failure must always be recordable. */
export const ERROR_TEXT_BYTES_MAX = 8 * 1024;
export const PROGRESS_BYTES_MAX = 64 * 1024;
export const REASON_BYTES_MAX = 1024;
/** All open questions of a task, and all its answers. */
export const QUESTIONS_BYTES_MAX = 1024 * 1024;
export const QUESTIONS_MAX = 1_000;
/** What an approval shows; what is left out for it counts by its hash. */
export const SHOWN_BYTES_MAX = 256 * 1024;
/** In characters. */
export const APPROVAL_QUESTION_MAX = 4_000;
export const APPROVER_NAME_MAX = 200;
export const DEPENDENCIES_MAX = 1_000;
/** Of one `where`, as it is stored with its edge: ASCII alone. */
export const WHERE_BYTES_MAX = 2 * 1024;
export const WHERE_PLACES_MAX = 20;
export const BATCH_TASKS_MAX = 10_000;
/** Bounds what one transaction has to write. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;
export const CLAIM_TASKS_MAX = 1_000;
export const LIST_TASKS_MAX = 1_000;
export const RETRIES_MAX = 1_000;
export const CRASHES_MAX = 1_000;
/** Ten years: times and intervals beyond are mistakes of unit. */
export const INTERVAL_MS_MAX = 10 * 365 * 24 * 3600 * 1000;
/** The year 2243, ms since the epoch: later times are mistakes of unit, and ranks stay safe integers. */
export const TIME_MS_MAX = 8_640_000_000_000;
export const WAITERS_MAX = 100_000;
export const ID_PATTERN = /^[A-Za-z0-9_.:-]{1,128}$/;
/** Children of one task, in all its lives. */
export const CHILDREN_MAX = 1_000;
/** Children of children, and so on. */
export const CHILD_DEPTH_MAX = 10;
/** Calls with a side effect that one task keeps a record of, in all its lives. */
export const EFFECTS_MAX = 1_000;
/** All these records of one task, with their results. */
export const EFFECTS_BYTES_MAX = 512 * 1024;
export const EFFECT_KEY_CHARS_MAX = 256;
/** Failures of one task that the next attempt sees: the newest. */
export const FAILURES_MAX = 10;
export const FAILURE_MESSAGE_BYTES_MAX = 500;
/** Limits of one task, with those of its queue. */
export const LIMITS_MAX = 8;
/** The largest `max`, `rate.max` and `weight` of a limit. */
export const PLACES_MAX = 1_000_000_000;
export const FAIR_WEIGHT_MAX = 1_000;
