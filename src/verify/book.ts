/**
 * The law book as one list: every law that needs nothing but a backend, in the order of its chapters.
 *
 * What is stated in spec/ alone needs more than that: files, other implementations' numbers, a process to interrupt.
 */
import fc from 'fast-check'
import type { Backend } from '../backends/backend.ts'
import { OptModel } from '../engine/opt_model.ts'
import { plainactLaws } from './criteria/plainact_laws.ts'
import { lawOf, type Law } from './law.ts'
import { budgetLaws } from './masks/budget_laws.ts'
import { choosesAsDefined, selectionLaws, selectOn } from './masks/selection_laws.ts'
import type { MaskLaw } from './masks/cases.ts'
import type { ModelLaw } from './model/cases.ts'
import { gradientLaws } from './model/gradient_laws.ts'
import { engineLaws } from './model/engine_laws.ts'
import { maskLaws } from './model/mask_laws.ts'
import { plannerLaws } from './model/planner_laws.ts'
import { sequenceLaws } from './model/sequence_laws.ts'
import { storageLaws } from './model/storage_laws.ts'
import { makeTokenizing } from './tokenizer/cases.ts'
import { tokenizerLaws, type TokenizerLaw } from './tokenizer/laws.ts'
import { pageLaws, sharedLaws } from './ops/index.ts'

/** A law of a backend, and where in the book it stands. */
export interface ChapterLaw extends Law<Backend> {
  readonly chapter: string
  /** Whether it looks at no backend, but at what the runtime brings: it need not be tried on more than one. */
  readonly ofRuntime: boolean
}

/** Laws of the model as laws of the backend it is loaded on. */
function ofModels(laws: Readonly<Record<string, ModelLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => lawOf(law, (backend) => ({ backend, load: OptModel.load })))
}

/** Laws of selection as laws of the backend that ranks. */
function ofSelection(laws: Readonly<Record<string, MaskLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => lawOf(law, selectOn))
}

/** Laws of tokenizers, each case with a vocabulary of its own. */
function ofTokenizers(laws: Readonly<Record<string, TokenizerLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => ({
    ...law,
    arbitraries: [fc.nat(), ...law.arbitraries],
    predicate: (_, seed, ...args) => law.predicate(makeTokenizing(seed as number), ...args),
  }))
}

const chapters: Readonly<Record<string, readonly Law<Backend>[]>> = {
  operations: [...sharedLaws, ...pageLaws],
  selection: [...ofSelection(selectionLaws), ...ofSelection(budgetLaws), choosesAsDefined],
  masks: ofModels(maskLaws),
  sequences: ofModels(sequenceLaws),
  planners: ofModels(plannerLaws),
  specification: ofModels(engineLaws),
  storage: ofModels(storageLaws),
  gradients: ofModels(gradientLaws),
  criteria: plainactLaws.map(({ law, criterion }) =>
    lawOf(law, (backend) => ({ backend, load: OptModel.load, score: criterion.score })),
  ),
  tokenizer: ofTokenizers(tokenizerLaws),
}

/** Chapters that are about the runtime. */
const ofRuntime = ['tokenizer']

/** Every law of the book. */
export const book: readonly ChapterLaw[] = Object.entries(chapters).flatMap(([chapter, laws]) =>
  laws.map((law) => ({ ...law, chapter, ofRuntime: ofRuntime.includes(chapter) })),
)
