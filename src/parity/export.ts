/**
 * Runs a model on cases and writes down everything another implementation can be held to.
 *
 *   input_ids, attention_mask, labels [B, T]    as given, so that a file carries its own case
 *   logits [B, T, V]   nll [B, T]               of every token after the first, whatever the labels; 0 at a first token
 *   loss [1]                                    mean over the scored labels of the whole batch
 *   hidden.0..L [B, T, D]                       0 the embeddings, l after block l, L after the final norm [and project_out]
 *   head_out [L, B, T, H K]                     softmax(QK)V before the output matrix, head h in columns hK..(h+1)K
 *   fc1_act [L, B, T, F]                        after ReLU; of a gated block ffn_act, silu(gate) times up
 *   head_out_grad, fc1_act_grad, ffn_act_grad   d loss / d those
 *   crit.<name>_head [L, H], _ffn [L, F]        criteria over the whole batch, see scores.ts
 *   masked.logits, masked.loss                  with head_mask [L, H] and ffn_mask [L, F], units really skipped
 *
 * Values at padding are 0. Tensors are float32, ids int64.
 */
import type { TensorsToWrite, TensorToWrite } from '../io/safetensors_writer.ts'
import { makeMask, type UnitMask } from '../masks/mask.ts'
import { backward } from '../engine/backward.ts'
import { forwardBatch, repad, unpad, type Unpadded } from '../engine/batch.ts'
import { countScored, meanLoss, negativeLogLikelihood } from '../engine/loss.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import { layerOf, siteIn } from '../engine/plan.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { InputError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import { isList } from '../tensor/arguments.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  orNull,
  recordOption,
  required,
  wholeOption,
  type Kind,
} from '../tensor/option.ts'
import type { ParityTensor } from './check.ts'
import type { ParityCases } from './files.ts'
import { BatchScores } from './scores.ts'
import { remembered } from '../tensor/records.ts'

/** How an export can be watched and stopped. */
export interface ExportOptions {
  /** Ends the work; the call then throws the signal's reason. */
  readonly signal?: AbortSignal
  /** Called before each sequence and at the end. */
  readonly onProgress?: (done: number, total: number) => void
}

const numbers: Kind = { words: 'a list of numbers', holds: isList }
const casesOption = recordOption<ParityCases>('cases of readParityCases', {
  B: required(wholeOption('OPTION_TYPE', 1)),
  T: required(wholeOption('OPTION_TYPE', 1)),
  inputIds: required(numbers),
  attentionMask: required(numbers),
  labels: required(orNull(numbers)),
  headMask: required(orNull(kinds.object)),
  ffnMask: required(orNull(kinds.object)),
})

/**
 * Runs a model on cases and gives every tensor that another implementation can be compared by: `writeSafetensors` writes them,
 * `readParityFile` reads them, `checkParity` compares.
 * @throws InputError MASK_NOT_CONTIGUOUS, PARITY_MASK if a mask is not of the model's shape; UsageError TOKENS,
 *   INDEX_RANGE for ids outside the vocabulary, CONTEXT_LENGTH; OPTIONS, OPTION_NAME, OPTION_TYPE for arguments of other names or types;
 *   the signal's reason
 * @example
 * ```ts
 * import { ShadowModel } from 'shadowllm'
 * import { checkParity, exportParity, readParityCases, readParityFile } from 'shadowllm/eval'
 * import { writeSafetensors } from 'shadowllm/io/safetensors'
 *
 * const opt = await ShadowModel.fromPretrained()
 * const inputIds = Int32Array.from(opt.encode('Once upon a time, there was', { prefix: true }))
 * const T = inputIds.length
 * const attentionMask = new Int32Array(T).fill(1)
 * const cases = { B: 1, T, inputIds, attentionMask, labels: inputIds, headMask: null, ffnMask: null }
 * const path = 'build/example/parity.safetensors'
 * await writeSafetensors(path, await exportParity(opt.model, cases))
 *
 * // Another program reads the cases from the file, and writes a file that is compared with this one.
 * const again = 'build/example/parity_again.safetensors'
 * await writeSafetensors(again, await exportParity(opt.model, await readParityCases(path)))
 * const { passed, tensors } = checkParity(await readParityFile(path), await readParityFile(again))
 * console.log(passed, tensors.length, 'tensors')
 * await opt.dispose()
 * ```
 */
export async function exportParity(
  model: LanguageModel,
  cases: ParityCases,
  options: ExportOptions = {},
): Promise<TensorsToWrite> {
  expectOption('model', model, kinds.model)
  expectOption('cases', cases, casesOption)
  checkOptions(options, { signal: kinds.signal, onProgress: kinds.call })
  const { B, T } = cases
  const sequences = unpad(cases.inputIds, cases.attentionMask, B, T)
  const labels = labelsOf(sequences, cases)
  const scored = labels ? labels.reduce((total, row) => total + countScored(row), 0) : 0
  const rows: Rows = new Map()
  const scores = scored > 0 ? new BatchScores(model) : null
  let loss = 0
  for (const [index, { tokens }] of sequences.entries()) {
    options.onProgress?.(index, B)
    await pause(options.signal)
    const trace = traceForward(model, tokens)
    try {
      addTrace(rows, model, trace)
      if (labels && scores) loss += addGradients(rows, scores, model, trace, labels[index], scored)
    } finally {
      trace.dispose()
    }
  }
  const tensors = new Map(inputTensors(cases))
  const mask = maskOf(model, cases)
  if (mask) {
    await pause(options.signal)
    const logits = maskedLogits(model, cases, mask)
    tensors.set('masked.logits', floats([B, T, model.config.vocabulary], logits))
    if (labels && scored > 0)
      tensors.set(
        'masked.loss',
        floats([1], Float32Array.of(maskedLoss(model, logits, sequences, labels, scored, T))),
      )
  }
  options.onProgress?.(B, B)
  if (scores) tensors.set('loss', floats([1], Float32Array.of(loss)))
  for (const [name, parts] of rows) tensors.set(name, padded(name, parts, sequences, T))
  for (const [name, { shape, data }] of scores?.finish(B * T) ?? []) tensors.set(name, floats(shape, data))
  return tensors
}

/** What sequences have by tensor name, not yet padded: sequence by sequence, and within one layer by layer, [T, width]. */
type Rows = Map<string, Float32Array[]>

function addRows(rows: Rows, name: string, values: Float32Array): void {
  remembered(rows, name, () => []).push(values)
}

/** What activations are called: by the matrix before them, or by their block where that is gated. */
function activationName({ plan }: LanguageModel): string {
  return siteIn(layerOf(plan, 0), 'neurons').makers.length > 1 ? 'ffn_act' : 'fc1_act'
}

/** Adds what one sequence's forward pass computed. */
function addTrace(rows: Rows, model: LanguageModel, trace: Trace): void {
  const { layers } = model.config
  const logits = trace.logits()
  addRows(rows, 'logits', logits)
  addRows(rows, 'nll', negativeLogLikelihood(model.backend, logits, trace.tokens))
  for (let index = 0; index <= layers; index++) addRows(rows, `hidden.${index}`, trace.hidden(index))
  for (let layer = 0; layer < layers; layer++) {
    addRows(rows, 'head_out', trace.headOut(layer))
    addRows(rows, activationName(model), trace.fc1Act(layer))
  }
}

/** Adds what one sequence's backward pass computed, and gives its share of the batch's loss; gradients are shares too. */
function addGradients(
  rows: Rows,
  scores: BatchScores,
  model: LanguageModel,
  trace: Trace,
  labels: Int32Array,
  scored: number,
): number {
  const gradients = backward(model, trace, labels, { scored })
  try {
    for (let layer = 0; layer < model.config.layers; layer++) {
      addRows(rows, 'head_out_grad', gradients.headOut(layer))
      addRows(rows, `${activationName(model)}_grad`, gradients.fc1Act(layer))
    }
    scores.add({ model, tokens: trace.tokens, labels, trace, gradients, seed: 0 })
    return gradients.loss
  } finally {
    gradients.dispose()
  }
}

/** Each sequence's own labels. */
function labelsOf(sequences: readonly Unpadded[], { labels, T }: ParityCases): Int32Array[] | null {
  if (!labels) return null
  return sequences.map(({ row, start, tokens }) =>
    labels.slice(row * T + start, row * T + start + tokens.length),
  )
}

/** The mask of the cases; a kind of unit without one is kept whole. */
function maskOf(model: LanguageModel, { headMask, ffnMask }: ParityCases): UnitMask | null {
  if (!headMask && !ffnMask) return null
  const { layers, heads, neurons } = model.shape
  const read = (name: string, mask: ParityTensor | null, units: number): Float32Array => {
    if (!mask) return new Float32Array(layers * units).fill(1)
    if (mask.shape.join() === `${layers},${units}`) return Float32Array.from(mask.values)
    throw new InputError(
      'PARITY_MASK',
      `${name}: expected [${layers}, ${units}], got [${mask.shape.join(', ')}]`,
    )
  }
  return makeMask(model.shape, read('head_mask', headMask, heads), read('ffn_mask', ffnMask, neurons))
}

function inputTensors({ B, T, ...cases }: ParityCases): [name: string, TensorToWrite][] {
  const { inputIds, attentionMask, labels, headMask, ffnMask } = cases
  return [
    ...Object.entries({ input_ids: inputIds, attention_mask: attentionMask, labels }).flatMap(
      ([name, data]): [string, TensorToWrite][] =>
        data ? [[name, { dtype: 'I64', shape: [B, T], data }]] : [],
    ),
    ...Object.entries({ head_mask: headMask, ffn_mask: ffnMask }).flatMap(
      ([name, mask]): [string, TensorToWrite][] =>
        mask ? [[name, floats(mask.shape, Float32Array.from(mask.values))]] : [],
    ),
  ]
}

function floats(shape: readonly number[], data: Float32Array): TensorToWrite {
  return { dtype: 'F32', shape, data }
}

/** [B, T, V] under a mask. Only a mask that is not of zeros and ones has to be simulated. */
function maskedLogits(
  model: LanguageModel,
  { B, T, inputIds, attentionMask }: ParityCases,
  mask: UnitMask,
): Float32Array {
  const isBinary = [mask.heads, mask.neurons].every((table) =>
    table.every((value) => value === 0 || value === 1),
  )
  const mode = isBinary ? 'skip' : 'simulate'
  return forwardBatch(model, inputIds, attentionMask, B, T, { masks: mask, mode })
}

/** @param logits [B, T, V] */
function maskedLoss(
  { backend, config: { vocabulary: V } }: LanguageModel,
  logits: Float32Array,
  sequences: readonly Unpadded[],
  labels: readonly Int32Array[],
  scored: number,
  T: number,
): number {
  const nll = sequences.flatMap(({ row, start, tokens }, index) => {
    const own = logits.slice((row * T + start) * V, (row * T + start + tokens.length) * V)
    return [...negativeLogLikelihood(backend, own, labels[index])]
  })
  return meanLoss(Float32Array.from(nll), scored)
}

/** The rows of one name, padded. */
function padded(
  name: string,
  rows: readonly Float32Array[],
  sequences: readonly Unpadded[],
  T: number,
): TensorToWrite {
  const B = sequences.length
  const perSequence = rows.length / B // L, or 1
  const width = rows[0].length / sequences[0].tokens.length
  const data = new Float32Array(perSequence * B * T * width)
  for (let layer = 0; layer < perSequence; layer++) {
    const own = sequences.map((_, index) => rows[index * perSequence + layer])
    data.set(repad(sequences, own, T, width), layer * B * T * width)
  }
  const isPerLayer = /^(head_out|fc1_act|ffn_act)(_grad)?$/.test(name)
  return floats(name === 'nll' ? [B, T] : [...(isPerLayer ? [perSequence] : []), B, T, width], data)
}
