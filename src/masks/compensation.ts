/**
 * What takes the place of skipped units: zeros, their mean, or what the kept ones say of them (src/compensation).
 *
 * The engine knows no statistics. It hands over the matrix that adds the units of a layer up and gets what its kept rows become, once
 * for each mask; a token costs what it cost before.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { nameOption, rangeOption, type NameOption, type OptionRecord } from '../tensor/option.ts'
import type { UnitKind } from './mask.ts'

/** The ways. */
export const compensations = [
  /** Zeros. */
  'none',
  /** The mean of each skipped unit over a calibration (`calibrate --moments`). */
  'mean',
  /** What the units that are kept say of the skipped ones, by least squares over a calibration. */
  'least-squares',
] as const
/** What takes the place of skipped units. */
export type CompensationName = (typeof compensations)[number]
export const compensateOption: NameOption<CompensationName> = nameOption('COMPENSATE', compensations)

/** λ beside the mean square of a unit, and α, the share of the prompt in the statistics. */
export const ridgeOption: OptionRecord<number> = rangeOption('RIDGE', 0)
export const promptShareOption: OptionRecord<number> = rangeOption('PROMPT_SHARE', 0, 1)

/** λ of what is not said; src/compensation/moments_file.ts says why it is not less. */
export const DEFAULT_RIDGE = 0.01

/** A matrix that adds units up, and which of its rows a mask keeps. */
export interface FoldedMatrix {
  readonly backend: Backend
  readonly layer: number
  readonly kind: UnitKind
  /** The matrix that the model holds, by which what is known of it is found again. */
  readonly of: object
  readonly shape: readonly [N: number, D: number]
  /** Its numbers in float32, a row for each number of a unit: [N, D], made at the first call. Not changed. */
  readonly weight: () => Buffer
  /** Rows that are kept, and the others, ascending; some of each. */
  readonly kept: Int32Array // [K]
  readonly skipped: Int32Array // [N - K]
  /** What the matrix read at the tokens of the prompt; null unless `seesPrompt`. */
  readonly prompt: Float32Array | null // [T, N]
}

/** What a matrix becomes; null changes nothing. */
export interface Folded {
  /** The kept rows. */
  readonly rows: Float32Array | null // [K, D]
  /** What is added to the bias. */
  readonly bias: Float32Array | null // [D]
}

/** The units of a layer under a soft mask. Those of a half or more are kept. */
export interface SoftUnits {
  readonly backend: Backend
  readonly layer: number
  readonly kind: UnitKind
  /** Numbers of a unit. */
  readonly size: number
  readonly mask: Float32Array // [units]
}

/**
 * What the kept units say of each number of a unit, linearly: [N, N], a row for each number and a column for each that it is estimated
 * from. A kept unit is estimated from the other kept ones. Null where nothing is skipped, or nothing said.
 * @param units of a layer, and their mask
 */
export type Estimate = (units: SoftUnits) => Float32Array | null

/** How skipped units are made up for. */
export interface Compensation {
  /** Whether the prompt has a part in it, which then runs dense. */
  readonly seesPrompt: boolean
  /** @throws InputError or UsageError if the statistics are those of another model */
  fold(matrix: FoldedMatrix): Folded
}
