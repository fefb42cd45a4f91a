/** What a generator of steps returns once all have run. */
export function finish<Value>(steps: Generator<null, Value, void>): Value {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value
}
