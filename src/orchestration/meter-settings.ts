/** What of LangChain's events a handler hears: calls of models, and nothing else. By the names of its handlers. */
export class HandlerSettings {
  readonly ignoreLLM = false;
  readonly ignoreChain = true;
  readonly ignoreAgent = true;
  readonly ignoreRetriever = true;
  readonly ignoreCustomEvent = true;
}

/** How LangChain is to treat a meter; any object of that shape is one. Calls wait for it, and what it throws ends them. */
export class MeterSettings extends HandlerSettings {
  readonly name = 'jotty.usage';
  readonly awaitHandlers = true;
  readonly raiseError = true;
}
