/**
 * The law book as one list: every law that needs nothing but a backend, in the order of its chapters.
 *
 * What is stated in spec/ alone needs more than that: files, other implementations' numbers, a process to interrupt.
 */
import type { Backend } from '../backends/backend.ts'
import { OptModel } from '../model/opt/opt_model.ts'
import { lawOf, type Law } from './law.ts'
import type { ModelLaw } from './model/cases.ts'
import { gradientLaws } from './model/gradient_laws.ts'
import { maskLaws } from './model/mask_laws.ts'
import { plannerLaws } from './model/planner_laws.ts'
import { sequenceLaws } from './model/sequence_laws.ts'
import { storageLaws } from './model/storage_laws.ts'
import { pageLaws, sharedLaws } from './ops/index.ts'

/** A law of a backend, and where in the book it stands. */
export interface ChapterLaw extends Law<Backend> {
  readonly chapter: string
}

/** Laws of the model as laws of the backend it is loaded on. */
function ofModels(laws: Readonly<Record<string, ModelLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => lawOf(law, (backend) => ({ backend, load: OptModel.load })))
}

const chapters: Readonly<Record<string, readonly Law<Backend>[]>> = {
  operations: [...sharedLaws, ...pageLaws],
  masks: ofModels(maskLaws),
  sequences: ofModels(sequenceLaws),
  planners: ofModels(plannerLaws),
  storage: ofModels(storageLaws),
  gradients: ofModels(gradientLaws),
}

/** Every law of the book. */
export const book: readonly ChapterLaw[] = Object.entries(chapters).flatMap(([chapter, laws]) =>
  laws.map((law) => ({ ...law, chapter })),
)
