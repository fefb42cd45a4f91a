/**
 * Long work is cut into pieces, with a turn of the event loop between them: that is when ctrl-C is heard and a
 * progress line drawn.
 */

/** Lets other events happen. @throws the signal's reason if it is aborted */
export async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0))
  signal?.throwIfAborted()
}
