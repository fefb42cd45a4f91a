/**
 * The suite as one list: every law that needs only a backend, section by section.
 *
 * Laws that are in spec/ only need more: files, numbers of other implementations, a process to interrupt.
 */
import type { Backend } from '../backends/backend.ts'
import { LanguageModel } from '../engine/language_model.ts'
import { plainactLaws } from './criteria/plainact_laws.ts'
import { anyData, type DrawnData } from './drawn_data.ts'
import { lawOf, type Law } from './law.ts'
import { budgetLaws } from './masks/budget_laws.ts'
import { selectOn, type MaskLaw } from './masks/cases.ts'
import type { ModelLaw } from './model/cases.ts'
import { gradientLaws } from './model/gradient_laws.ts'
import { engineLaws } from './model/engine_laws.ts'
import { maskLaws } from './model/mask_laws.ts'
import { checkLaws } from './model/check_laws.ts'
import { plannerLaws } from './model/planner_laws.ts'
import { sequenceLaws } from './model/sequence_laws.ts'
import { storageLaws } from './model/storage_laws.ts'
import { makeTokenizing } from './tokenizer/cases.ts'
import { tokenizerLaws, type TokenizerLaw } from './tokenizer/laws.ts'
import { opLaws } from './ops/index.ts'

/** A law of a backend, with its section. */
export interface SuiteLaw extends Law<Backend> {
  /** The section. Reports and `--json` call it so. */
  readonly chapter: string
  /** Whether the law depends on the runtime and on no backend; it is then tried once. */
  readonly ofRuntime: boolean
}

/** Laws of the model as laws of the backend that holds it. */
function ofModels(laws: Readonly<Record<string, ModelLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => lawOf(law, (backend) => ({ backend, load: LanguageModel.load })))
}

/** Laws of selection as laws of the backend that ranks. */
function ofSelection(laws: Readonly<Record<string, MaskLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => lawOf(law, selectOn))
}

/** Laws of tokenizers, each case with a vocabulary of its own. */
function ofTokenizers(laws: Readonly<Record<string, TokenizerLaw>>): Law<Backend>[] {
  return Object.values(laws).map((law) => ({
    ...law,
    arbitraries: { ...law.arbitraries, data: anyData },
    predicate: (_, { data, ...args }) => law.predicate(makeTokenizing(data as DrawnData), args),
  }))
}

const sections: Readonly<Record<string, readonly Law<Backend>[]>> = {
  operations: opLaws,
  selection: ofSelection(budgetLaws),
  masks: ofModels(maskLaws),
  sequences: ofModels(sequenceLaws),
  planners: ofModels({ ...plannerLaws, ...checkLaws }),
  specification: ofModels(engineLaws),
  storage: ofModels(storageLaws),
  gradients: ofModels(gradientLaws),
  criteria: Object.values(plainactLaws).map(({ law, criterion }) =>
    lawOf(law, (backend) => ({ backend, load: LanguageModel.load, score: criterion.score })),
  ),
  tokenizer: ofTokenizers(tokenizerLaws),
}

/** Sections whose laws depend on the runtime only. */
const ofRuntime = ['tokenizer']

/** Every law of the suite. */
export const suite: readonly SuiteLaw[] = Object.entries(sections).flatMap(([chapter, laws]) =>
  laws.map((law) => ({ ...law, chapter, ofRuntime: ofRuntime.includes(chapter) })),
)
