/**
 * Second moments of the windows of a calibration (src/compensation), kept in its folder as `moments.safetensors`.
 *
 * One forward pass a window, in this thread and in the order of the windows. The sums so far are written after every few windows, so
 * that the same call goes on after an interruption and ends with the same bytes.
 */
import { MomentSums, momentWidths } from '../compensation/moments.ts'
import {
  openMoments,
  readSums,
  writeMoments,
  writeSums,
  type MomentsOrigin,
} from '../compensation/moments_file.ts'
import type { Window } from '../data/windows.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { layerOf, parametersOf, siteIn } from '../engine/plan.ts'
import { storageIn, type Matrix } from '../engine/storages/index.ts'
import { momentsName } from '../compensation/open_moments.ts'
import { worthsOf } from '../compensation/worth.ts'
import { DEFAULT_RIDGE } from '../masks/compensation.ts'
import { unitKinds, type UnitKind, type UnitMask } from '../masks/mask.ts'
import { exists, joinPath, remove } from '../platform/platform.ts'
import { pause } from '../platform/pause.ts'
import { InputError } from '../tensor/errors.ts'
import { closing } from '../tensor/tensor_source.ts'

const sumsName = 'moments-sums.safetensors'

/** Windows between two writings of the sums. */
const WINDOWS_KEPT = 32

/** What is collected. */
interface MomentsCollection {
  readonly model: LanguageModel
  /** SHA-256 of the model's files. */
  readonly hash: string
  /** The identity of the calibration. */
  readonly identity: string
  readonly windows: readonly Window[]
  readonly mask: UnitMask | null
  /** Default 32. */
  readonly windowsKept?: number
}

/**
 * Collects the moments of all windows into a folder, or completes them there. A damaged file, or one of another calibration, is made
 * again.
 * @param onProgress is told of windows, and then of layers whose units are ranked
 * @returns the number of windows that were added now
 * @throws as `traceForward`; the signal's reason, the sums of finished windows are kept; the system's own error if a file cannot be
 *   written
 */
export async function collectMoments(
  folder: string,
  { model, hash, identity, windows, mask, windowsKept = WINDOWS_KEPT }: MomentsCollection,
  onProgress: (done: number, total: number) => void,
  signal?: AbortSignal,
): Promise<number> {
  const [path, sumsPath] = [momentsName, sumsName].map((name) => joinPath(folder, name))
  const { layers } = model.config
  const isOurs = (origin: MomentsOrigin): boolean => origin.model === hash && origin.calibration === identity
  if (await isFinished(path, model, isOurs)) return 0
  const begun = await ofValid(sumsPath, () => readSums(sumsPath, layers, momentWidths(model.config)))
  const going = begun && isOurs(begun.origin) && begun.origin.windows <= windows.length ? begun : null
  const sums = new MomentSums(model, going?.sums ?? null)
  try {
    let { windows: done = 0, tokens = 0 } = going?.origin ?? {}
    const origin = (): MomentsOrigin => ({ model: hash, calibration: identity, windows: done, tokens })
    // The worths of a layer take about as long as some windows.
    const total = windows.length + layers
    onProgress(done, total)
    for (const window of windows.slice(done)) {
      await pause(signal)
      sums.add(window.tokens, mask)
      done++
      tokens += window.tokens.length
      if (done % windowsKept === 0 || done === windows.length)
        await writeSums(sumsPath, origin(), layers, (l) => sums.layer(l))
      onProgress(done, total)
    }
    await writeMoments(
      path,
      origin(),
      layers,
      async (l) => {
        await pause(signal)
        onProgress(done + l, total)
        return sums.layer(l)
      },
      (l, kind, moments) => worthsIn(model, l, kind, moments),
    )
    onProgress(total, total)
  } finally {
    sums.dispose()
  }
  if (await exists(sumsPath)) await remove(sumsPath)
  return windows.length - (going?.origin.windows ?? 0)
}

/** What cannot be recovered of each unit of a layer. */
function worthsIn(model: LanguageModel, layer: number, kind: UnitKind, moments: Float64Array): Float32Array {
  const { plan, weights } = model
  const { size, readers } = siteIn(layerOf(plan, layer), kind)
  const [{ name, shape }] = parametersOf(readers[0].value)
  const matrix = weights.matrices.get(name) as Matrix
  const row = storageIn(matrix).open(weights.layers[layer], matrix, shape[0])
  return worthsOf(moments, row, size, DEFAULT_RIDGE)
}

/** Whether a folder has the moments of all windows. */
async function isFinished(
  path: string,
  { config, shape }: LanguageModel,
  isOurs: (origin: MomentsOrigin) => boolean,
): Promise<boolean> {
  const widths = momentWidths(config)
  const found = await ofValid(path, async () => {
    return closing(openMoments(path), async (moments) => {
      for (let layer = 0; layer < config.layers; layer++)
        for (const kind of unitKinds) await moments.table(kind, layer, widths[kind], shape[kind])
      return moments.origin
    })
  })
  return found !== null && isOurs(found)
}

/** What a file holds; null for a file that is missing or damaged. */
async function ofValid<Result>(path: string, read: () => Promise<Result>): Promise<Result | null> {
  if (!(await exists(path))) return null
  try {
    return await read()
  } catch (error) {
    if (error instanceof InputError) return null
    throw error
  }
}
