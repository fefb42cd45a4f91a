/**
 * The options of the library's calls, with values of each that give different results. The types require a row for every
 * option.
 */
import type { ChatOptions, GenerateOptions, MaskOptions, PlanOptions } from '../../src/library/index.ts'
import type { StudyOptions } from '../../src/web/engine/study_types.ts'

/** Values of one option, and other options that it needs to have an effect. */
export interface OptionRow<Options> {
  readonly beside?: Options
  /** At least two, with different results. Undefined leaves the option out. */
  readonly values: readonly unknown[]
}

/** Rows of an option, or why it has no effect on the result of a call. */
export type OptionRows<Options> = readonly OptionRow<Options>[] | string

/** A table of every option of a call. */
export type OptionTable<Options> = Readonly<Record<keyof Required<Options>, OptionRows<Options>>>

const random = { planner: 'random' } as const
const byPrompt = { planner: 'prompt-plainact' } as const
const apart = 'it does not change what is computed: a test of its own states it'

/** The options of `forward`, which `generate` has too. */
export const planTable: OptionTable<PlanOptions> = {
  planner: [
    { values: [undefined, 'random', 'prompt-plainact', 'shadow', 'static', 'dejavu', 'dejavu-style'] },
  ],
  sparsity: [{ beside: random, values: [undefined, 0, 0.25, 1] }],
  headSparsity: [{ beside: random, values: [undefined, 0, 1] }],
  neuronSparsity: [{ beside: random, values: [undefined, 0, 1] }],
  scope: [
    { beside: byPrompt, values: [undefined, 'per-layer'] },
    // Only the floors are kept.
    { beside: { ...byPrompt, sparsity: 1 }, values: [undefined, 'hybrid'] },
  ],
  criterion: [
    { beside: byPrompt, values: [undefined, 'l2norm', 'gradnorm'] },
    { beside: { planner: 'static' }, values: [undefined, 'l2norm'] },
  ],
  every: 'all tokens of a pass are its prompt, so the planner is called once',
  prefill: [{ beside: random, values: [undefined, 'dense'] }],
  compensate: [{ beside: random, values: [undefined, 'mean', 'least-squares'] }],
  ridge: [{ beside: { ...random, compensate: 'least-squares' }, values: [undefined, 1] }],
  promptShare:
    'the tokens of a pass are its prompt, which runs dense: laws of compensated sequences state it',
  paperCompatible: [
    { beside: { ...random, sparsity: 0.7 }, values: [undefined, true] },
    { beside: { planner: 'shadow', sparsity: 0.3 }, values: [false, true] },
  ],
  seed: [{ beside: random, values: [undefined, 1, 2 ** 32 - 1] }],
  mode: 'the numbers are the same in every mode: a test of the options of sequences states it',
  // The prompt then runs dense.
  check: [{ beside: random, values: [undefined, 4] }],
  signal: apart,
}

const drawn = { temperature: 1.5 }

/** The options of `generate`. */
export const generateTable: OptionTable<GenerateOptions> = {
  ...planTable,
  session:
    'what follows in a session has the bits of an unbroken text: laws of session_file.spec.ts state it',
  onMask: apart,
  maxTokens: [{ values: [1, 2, 30] }],
  stop: 'it cuts the text, wherever that is: a test of generate cuts one at each of its parts',
  sampler: 'a function has no spelling, and stays in its process: a test of chats states what it chooses',
  temperature: [{ values: [undefined, 1, 2] }],
  topK: [{ beside: drawn, values: [undefined, 1, 2] }],
  topP: [{ beside: drawn, values: [undefined, 0.01, 0.3] }],
  repetitionPenalty: [{ values: [undefined, 1.5] }],
  minP: [{ beside: drawn, values: [undefined, 0.2, 1] }],
  presencePenalty: [{ values: [undefined, 2] }],
  frequencyPenalty: [{ values: [undefined, 2] }],
  logitBias: [{ values: [undefined, { 5: 100 }, { 6: 100 }] }],
  every: [{ beside: random, values: [undefined, 1, 3] }],
  promptShare: [{ beside: { ...random, compensate: 'least-squares' }, values: [0.05, 0.9] }],
  check: [{ beside: { ...random, ...drawn }, values: [undefined, 3] }],
  onEnd: apart,
  seed: [
    { beside: drawn, values: [undefined, 1, 2] },
    { beside: random, values: [undefined, 1, 2 ** 32 - 1] },
  ],
  cache: 'few tokens differ: a test of the options of sequences states it',
}

/** The options of `chat`. */
export const chatTable: OptionTable<ChatOptions> = {
  ...generateTable,
  chatTemplateKwargs: 'this template has none: a test of templates states it',
  onPrompt: apart,
}

/** The options of `mask`. */
export const maskTable: OptionTable<MaskOptions> = {
  // teal and wina mask no units.
  planner: [
    {
      values: [
        undefined,
        'dense',
        'random',
        'prompt-plainact',
        'griffin',
        'coreinfer',
        'glass',
        'griffin-static',
        'cats',
        'prompt-static',
        'static',
      ],
    },
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
  every: 'the mask is that of the prompt, so the planner is called once',
  prefill: 'the mask is decided from the prompt, however that runs',
  compensate: 'the mask says what is skipped, not what takes its place',
  ridge: 'the mask says what is skipped, not what takes its place',
  promptShare: 'the mask says what is skipped, not what takes its place',
  paperCompatible: planTable.paperCompatible as OptionRows<MaskOptions>,
  seed: [
    ...(planTable.seed as OptionRow<MaskOptions>[]),
    { beside: { planner: 'oracle', criterion: 'random', continuation: 'ghi' }, values: [undefined, 1] },
  ],
  continuation: [{ beside: { planner: 'oracle' }, values: ['ghi', 'xyz', [70, 71]] }],
}

/** The options of the page's study of a text. */
export const studyTable: OptionTable<StudyOptions> = {
  planner: [{ values: [undefined, 'dense', 'random', 'prompt-plainact', 'griffin', 'coreinfer', 'oracle'] }],
  sparsity: [{ beside: random, values: [undefined, 0.25, 1] }],
  scope: [{ beside: byPrompt, values: [undefined, 'per-layer'] }],
  criterion: [
    { beside: byPrompt, values: [undefined, 'l2norm'] },
    // The criterion also scores the generated text.
    { beside: random, values: [undefined, 'l2norm'] },
  ],
  seed: [
    { beside: random, values: [undefined, 1, 2 ** 32 - 1] },
    { beside: { planner: 'dense', criterion: 'random' }, values: [undefined, 1] },
    { beside: { planner: 'dense', temperature: 1 }, values: [undefined, 1] },
  ],
  decides: [{ beside: random, values: [undefined, 'always'] }],
  temperature: [{ values: [undefined, 1] }],
  maxTokens: [{ values: [1, 2, 9] }],
  switches: [
    { beside: random, values: [undefined, [{ unit: { kind: 'heads', layer: 1, index: 0 }, on: false }]] },
  ],
  compares: [{ values: [undefined, false] }],
  signal: apart,
}
