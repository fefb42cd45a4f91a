/**
 * The options of the library's calls: values of each that are told apart by what the call gives. The types see to it that
 * no option is without a row.
 */
import type { GenerateOptions, MaskOptions, PlanOptions } from '../../src/index.ts'
import type { StudyOptions } from '../../src/web/engine/study_types.ts'

/** Values of one option, beside others that let it matter. */
export interface OptionRow<Options> {
  readonly beside?: Options
  /** At least two; each gives something else. Undefined is the option left out. */
  readonly values: readonly unknown[]
}

/** Rows of an option, or why a call has nothing to show of it. */
export type OptionRows<Options> = readonly OptionRow<Options>[] | string

/** A table: every option of a call. */
export type OptionTable<Options> = Readonly<Record<keyof Required<Options>, OptionRows<Options>>>

const random = { planner: 'random' } as const
const byPrompt = { planner: 'prompt-plainact' } as const
const apart = 'not an option of what is computed: stated by a test of its own'

/** What `forward` takes, and `generate` too. */
export const planTable: OptionTable<PlanOptions> = {
  planner: [
    { values: [undefined, 'random', 'prompt-plainact', 'shadow', 'static', 'dejavu', 'dejavu-style'] },
  ],
  sparsity: [{ beside: random, values: [undefined, 0, 0.25, 1] }],
  headSparsity: [{ beside: random, values: [undefined, 0, 1] }],
  neuronSparsity: [{ beside: random, values: [undefined, 0, 1] }],
  scope: [
    { beside: byPrompt, values: [undefined, 'per-layer'] },
    // Floors are all that stays.
    { beside: { ...byPrompt, sparsity: 1 }, values: [undefined, 'hybrid'] },
  ],
  criterion: [
    { beside: byPrompt, values: [undefined, 'l2norm', 'gradnorm'] },
    { beside: { planner: 'static' }, values: [undefined, 'l2norm'] },
  ],
  every: 'all tokens of a pass are its prompt: nothing is asked again',
  released: [
    { beside: { ...random, sparsity: 0.7 }, values: [undefined, true] },
    { beside: { planner: 'shadow', sparsity: 0.3 }, values: [false, true] },
  ],
  seed: [{ beside: random, values: [undefined, 1, 2 ** 32 - 1] }],
  mode: 'the numbers are the same in every mode: stated by what sequences are begun with',
  signal: apart,
}

const drawn = { temperature: 1.5 }

/** What `generate` takes besides. */
export const generateTable: OptionTable<GenerateOptions> = {
  ...planTable,
  maxTokens: [{ values: [1, 2, 30] }],
  temperature: [{ values: [undefined, 1, 2] }],
  topK: [{ beside: drawn, values: [undefined, 1, 2] }],
  topP: [{ beside: drawn, values: [undefined, 0.01, 0.3] }],
  every: [{ beside: random, values: [undefined, 1, 3] }],
  seed: [
    { beside: drawn, values: [undefined, 1, 2] },
    { beside: random, values: [undefined, 1, 2 ** 32 - 1] },
  ],
  cache: 'one token in a hundred differs: stated by what sequences are begun with',
}

/** What `mask` takes. */
export const maskTable: OptionTable<MaskOptions> = {
  planner: [
    { values: [undefined, 'dense', 'random', 'prompt-plainact', 'static'] },
    { beside: { continuation: 'ghi' }, values: [undefined, 'oracle'] },
  ],
  sparsity: planTable.sparsity as OptionRows<MaskOptions>,
  headSparsity: planTable.headSparsity as OptionRows<MaskOptions>,
  neuronSparsity: planTable.neuronSparsity as OptionRows<MaskOptions>,
  scope: planTable.scope as OptionRows<MaskOptions>,
  criterion: [
    ...(planTable.criterion as OptionRow<MaskOptions>[]),
    { beside: { planner: 'oracle', continuation: 'ghi' }, values: [undefined, 'l2norm'] },
  ],
  every: 'the mask is that of the prompt: nothing is asked again',
  released: planTable.released as OptionRows<MaskOptions>,
  seed: [
    ...(planTable.seed as OptionRow<MaskOptions>[]),
    { beside: { planner: 'oracle', criterion: 'random', continuation: 'ghi' }, values: [undefined, 1] },
  ],
  continuation: [{ beside: { planner: 'oracle' }, values: ['ghi', 'xyz', [70, 71]] }],
}

/** What the page's study of a text takes. */
export const studyTable: OptionTable<StudyOptions> = {
  planner: [{ values: [undefined, 'dense', 'random', 'prompt-plainact', 'oracle'] }],
  sparsity: [{ beside: random, values: [undefined, 0.25, 1] }],
  scope: [{ beside: byPrompt, values: [undefined, 'per-layer'] }],
  criterion: [
    { beside: byPrompt, values: [undefined, 'l2norm'] },
    // What the written text turns out to need.
    { beside: random, values: [undefined, 'l2norm'] },
  ],
  seed: [
    { beside: random, values: [undefined, 1, 2 ** 32 - 1] },
    { beside: { planner: 'dense', criterion: 'random' }, values: [undefined, 1] },
  ],
  decides: [{ beside: random, values: [undefined, 'always'] }],
  maxTokens: [{ values: [1, 2, 9] }],
  compares: [{ values: [undefined, false] }],
  signal: apart,
}
