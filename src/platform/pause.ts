/**
 * Long computations yield to the event loop between their parts, so that ctrl-C is handled and progress is drawn.
 */

/** Yields to the event loop. @throws the signal's reason if it is aborted */
export async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0))
  signal?.throwIfAborted()
}

/** Lets the event loop handle what has come, such as bytes on a socket; without the millisecond that a timer takes. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
