import type { FailureClass } from '../queue/failures.ts';
import { refusalOf } from '../queue/rate-limit.ts';

/** Errors wrap errors; so deep is looked. */
const CAUSES_MAX = 5;

/** Names and codes by class, of Jotty, LangChain, providers' clients and Node. An app may have several copies of any class. */
const MARKS: Readonly<Record<Exclude<FailureClass, 'rateLimit' | 'unknown'>, RegExp>> = {
  budget: /^(BUDGET_\w+|BudgetExceededError|insufficient_quota)$/,
  capability:
    /^(CAPABILITY|CapabilityError|MODEL_NOT_FOUND|model_not_found|context_length_exceeded|ContextOverflowError)$/,
  badOutput:
    /^(OUTPUT_PARSING_FAILURE|RESULT_REJECTED|OutputParserException|OutputParsingError|StructuredOutputParsingError|MultipleStructuredOutputsError|ZodError|INVALID_TOOL_RESULTS)$/,
  tool: /^(ToolException|ToolInvocationError|ToolInputParsingException|COMMAND_FAILED|UNHEALTHY)$/,
  transient:
    /^(TimeoutError|TIMEOUT|NodeTimeoutError|APIConnectionError|APIConnectionTimeoutError|InternalServerError|STORE_UNAVAILABLE|ECONN\w+|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|UND_ERR_\w+)$/,
};

const PAYMENT_REQUIRED = 402;
const REQUEST_TIMEOUT = 408;
const SERVER_ERROR = 500;

/** What kind of failure an error is, by its shape; that of its cause where its own says nothing. */
export function classOf(error: unknown, depth = 0): FailureClass {
  if (typeof error !== 'object' || error === null || depth > CAUSES_MAX) return 'unknown';
  const { name, code, type, lc_error_code, status, statusCode, cause } = error as Record<string, unknown>;
  const words = [code, lc_error_code, type, name].filter((word) => typeof word === 'string');
  // A quota that is spent is told with status 429 too, and no waiting mends it.
  if (words.some((word) => MARKS.budget.test(word))) return 'budget';
  if (depth === 0 && refusalOf(error) !== null) return 'rateLimit';
  for (const [found, mark] of Object.entries(MARKS))
    if (words.some((word) => mark.test(word))) return found as FailureClass;
  return classOfStatus(status ?? statusCode) ?? classOf(cause, depth + 1);
}

function classOfStatus(status: unknown): FailureClass | null {
  if (typeof status !== 'number') return null;
  if (status === PAYMENT_REQUIRED) return 'budget';
  return status === REQUEST_TIMEOUT || status >= SERVER_ERROR ? 'transient' : null;
}
