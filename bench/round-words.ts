/** What a round's process says, beside its figures: its code is loaded; what it watches stands. */
export const READY = 'ready';
export const STANDS = 'stands';
/** What it is told when it is its turn. */
export const GO = 'go';
