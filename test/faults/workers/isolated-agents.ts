/** The agents of `graph-worker` by name, for threads and processes of their own; the log is where the worker says. */
import { agents, Gate } from './graphs.ts';

export const { steps, gate, blocker, deaf } = agents(process.env.JOTTY_FAULTS_LOG ?? '', new Gate());
