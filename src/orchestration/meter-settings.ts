/**
 * How LangChain is to treat a meter, by the names of its handlers; any object of that shape is one. Calls of models
 * wait for it, and what it throws ends them; of all else it hears nothing.
 */
export class MeterSettings {
  readonly name = 'jotty.usage';
  readonly awaitHandlers = true;
  readonly raiseError = true;
  readonly ignoreLLM = false;
  readonly ignoreChain = true;
  readonly ignoreAgent = true;
  readonly ignoreRetriever = true;
  readonly ignoreCustomEvent = true;
}
