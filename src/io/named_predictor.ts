/**
 * Where predictors are found: those in this package by name, and the one beside a model.
 *
 * Beside a model in a folder that is `predictor.safetensors` in the folder. A model of one file, `NAME.gguf`, may lie among
 * other models: its predictor is `NAME.predictor.safetensors` beside it. A model that has none has that of this package which was made
 * for a model of its sizes and rotations; a page does not fetch it unasked.
 */
import { folderOf, joinPath, mountFolder, runtime } from '../platform/platform.ts'
import { isThere } from './files.ts'
import { knownModel, type KnownShape } from './known_models.ts'
import { fetchPackaged, packagedPath } from './packaged.ts'

/** The predictors in this package; each has its own `new URL`, so that bundlers find it. */
const files: ReadonlyMap<string, () => URL> = new Map([
  ['smollm2-135m', () => new URL('../../fixtures/predictors/smollm2-135m.safetensors', import.meta.url)],
])

/** The names of the predictors in this package: of the model each was made for. */
export const predictorNames: readonly string[] = [...files.keys()]

/** The predictor in this package that was made for such a model; null if there is none. */
export function packagedPredictor(shape: KnownShape): string | null {
  return knownModel(shape)?.name ?? null
}

/**
 * The predictor of a model for which none is named: the path of the one beside it, else the name of one in this package.
 * @param beside the path of the first
 * @returns null if there is neither
 */
export async function ownPredictor(beside: string, model: KnownShape): Promise<string | null> {
  if (await isThere(beside)) return beside
  return runtime.name === 'browser' ? null : packagedPredictor(model)
}

/** The name of a predictor's file in a model's folder. */
export const predictorFile = 'predictor.safetensors'

/** The path of the predictor that belongs to a model, whether it is there or not. @param weights the model's weights */
export function predictorBeside(weights: string): string {
  const single = /\.gguf$/i.exec(weights)
  return single
    ? `${weights.slice(0, single.index)}.${predictorFile}`
    : joinPath(folderOf(weights), predictorFile)
}

/**
 * The path of a predictor: a file has priority over a name in this package. Anything else is a path, which the reader
 * reports as missing.
 * @throws InputError FILE_READ if a page cannot fetch a predictor of this package
 */
export async function findPredictor(pathOrName: string): Promise<string> {
  const url = files.get(pathOrName)?.()
  if (!url || (await isThere(pathOrName))) return pathOrName
  if (runtime.name !== 'browser')
    return packagedPath(url, 'fixtures', 'predictors', `${pathOrName}.safetensors`)
  const file = await fetchPackaged(pathOrName, url, "the predictor's file")
  return joinPath(mountFolder(`predictor ${pathOrName}`, new Map([[predictorFile, file]])), predictorFile)
}
