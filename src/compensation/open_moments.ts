/**
 * Opens the moments that methods read: those of a calibration, and of other texts beside them.
 */
import type { LanguageModel } from '../engine/language_model.ts'
import { isThere } from '../io/files.ts'
import { joinPath } from '../platform/platform.ts'
import { MissingError } from '../tensor/errors.ts'
import { closing } from '../tensor/tensor_source.ts'
import { mixMoments, type HeldMoments } from './held_moments.ts'
import { openMoments } from './moments_file.ts'

/** The name of the file in the folder of a calibration. */
export const momentsName = 'moments.safetensors'

/** Where moments are: in the folder of a calibration, if there is one, and in other files. */
export interface MomentPlaces {
  readonly calibration: string | null
  readonly files: readonly string[]
}

/** The paths of these places. @param asker a planner, in errors. @throws MissingError MOMENTS_MISSING */
export async function momentPaths({ calibration, files }: MomentPlaces, asker: string): Promise<string[]> {
  const own = calibration === null ? [] : [joinPath(calibration, momentsName)]
  const isMissing = own.length > 0 && !(await isThere(own[0]))
  if (isMissing || own.length + files.length === 0)
    throw new MissingError(
      'MOMENTS_MISSING',
      `compensation of planner ${asker}: expected --calibration with moments, or --moments, got ${isMissing ? `no ${own[0]}` : 'none'}; "shadowllm calibrate --moments" makes them`,
    )
  return [...own, ...files]
}

/**
 * The moments of these places, in memory, as one: what `shadowllm calibrate --moments` writes.
 * @param model whose moments they are: those of another are refused
 * @param places the folder of a calibration, and other files
 * @param asker a planner, in errors
 * @throws MissingError as `momentPaths`; InputError as `openMoments` and `Moments.hold`
 */
export async function holdMoments(
  model: Pick<LanguageModel, 'config' | 'shape'>,
  places: MomentPlaces,
  asker: string,
): Promise<HeldMoments> {
  const held: HeldMoments[] = []
  for (const path of await momentPaths(places, asker))
    held.push(await closing(openMoments(path), (moments) => moments.hold(model)))
  return mixMoments(held)
}
