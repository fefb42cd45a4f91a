/**
 * Opens the model a command was asked for, with progress and ctrl-C, and sees to its end.
 */
import { embeddedName, ShadowOpt } from '../shadow_opt.ts'
import type { ModelFlags } from './flags.ts'
import type { Session } from './session.ts'
import { formatShare } from './words.ts'

/**
 * Loads a model, works with it, and gives it back whatever becomes of the work.
 * @throws what `ShadowOpt.fromPretrained` and the work throw
 */
export async function withModel<T>(
  session: Session,
  { model, backend, storage, threads, quiet }: ModelFlags,
  work: (opt: ShadowOpt) => Promise<T>,
): Promise<T> {
  if (quiet) session.quieten()
  const opt = await ShadowOpt.fromPretrained(model ?? embeddedName, {
    backend,
    storage,
    threads,
    signal: session.signal,
    onProgress: ({ loadedBytes: done, totalBytes: total }) =>
      session.progress.update({ stage: 'loading', done, total, note: formatShare(done, total) }),
  })
  session.progress.clear()
  try {
    return await work(opt)
  } finally {
    await opt.dispose()
  }
}
