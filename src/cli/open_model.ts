/**
 * Opens the model a command was asked for, with progress and ctrl-C, and sees to its end.
 */
import { embeddedName, findModel, type FoundModel } from '../io/find_model.ts'
import type { MeasuredModel } from '../results/provenance.ts'
import { ShadowModel } from '../library/shadow_model.ts'
import type { ModelFlags } from './flags.ts'
import type { Session } from './session.ts'
import { formatShare } from './words.ts'

/**
 * Loads a model, works with it, and gives it back whatever becomes of the work.
 * @throws what `ShadowModel.fromPretrained` and the work throw
 */
export async function withModel<T>(
  session: Session,
  { model, revision, offline, backend, storage, threads, quiet }: ModelFlags,
  work: (opt: ShadowModel) => Promise<T>,
): Promise<T> {
  const opt = await ShadowModel.fromPretrained(model ?? embeddedName, {
    backend,
    // Commands that do not ask measure, which is done on exact numbers.
    storage: storage ?? 'f32',
    threads,
    revision,
    offline,
    signal: session.signal,
    onProgress: ({ stage, loadedBytes, totalBytes }) =>
      showBytes(session, stages[stage], loadedBytes, totalBytes),
  })
  session.progress.clear()
  try {
    const { name, notExact } = opt.model.backend
    if (notExact && !quiet)
      await session.note(`${name} computes: the adapter does not keep the float contract, ${notExact}`)
    return await work(opt)
  } finally {
    await opt.dispose()
  }
}

/** What is measured of a model that was opened. */
export function namedSource(opt: ShadowModel, { args }: Session): MeasuredModel {
  return { ...opt.measured, argv: args }
}

/** Draws progress in bytes. */
export function showBytes(session: Session, stage: string, done: number, total: number): void {
  session.progress.update({ stage, done, total, note: formatShare(done, total) })
}

const stages = { download: 'fetching', load: 'loading' } as const

/** The model of a command that does not load it as a whole: its path, once it is here. @throws as `findModel` */
export async function findWithProgress(
  session: Session,
  model: string,
  { revision, offline }: Pick<ModelFlags, 'revision' | 'offline'>,
): Promise<FoundModel> {
  const found = await findModel(model, {
    revision,
    offline,
    signal: session.signal,
    onProgress: ({ loadedBytes, totalBytes }) => showBytes(session, stages.download, loadedBytes, totalBytes),
  })
  session.progress.clear()
  return found
}
