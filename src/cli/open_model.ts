/**
 * Opens the model a command was asked for, with progress and ctrl-C.
 */
import { embeddedName, ShadowOpt } from '../shadow_opt.ts'
import type { ModelFlags } from './flags.ts'
import type { Session } from './session.ts'

/** Loads a model. Dispose it. @throws what `ShadowOpt.fromPretrained` throws */
export async function openModel(session: Session, { model, backend, quiet }: ModelFlags): Promise<ShadowOpt> {
  if (quiet) session.quieten()
  const opt = await ShadowOpt.fromPretrained(model ?? embeddedName, {
    backend,
    signal: session.signal,
    onProgress: ({ loaded, total }) => session.progress.update({ stage: 'loading', done: loaded, total }),
  })
  session.progress.clear()
  return opt
}
