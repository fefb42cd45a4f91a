/**
 * Runs a model on cases and writes down everything another implementation can be held to.
 *
 *   input_ids, attention_mask, labels [B, T]    as given, so that a file carries its own case
 *   logits [B, T, V]   nll [B, T]               of every token after the first, whatever the labels; 0 at a first token
 *   loss [1]                                    mean over the scored labels of the whole batch
 *   hidden.0..L [B, T, D]                       0 the embeddings, l after block l, L after the final norm [and project_out]
 *   head_out [L, B, T, D]                       softmax(QK)V before out_proj, head h in columns hK..(h+1)K
 *   fc1_act [L, B, T, F]                        after ReLU
 *   head_out_grad, fc1_act_grad                 d loss / d those
 *   crit.<name>_head [L, H], _ffn [L, F]        criteria over the whole batch, see scores.ts
 *   masked.logits, masked.loss                  with head_mask [L, H] and ffn_mask [L, F], units really skipped
 *
 * Values at padding are 0. Tensors are float32, ids int64.
 */
import type { CriterionInput } from '../criteria/criterion.ts'
import type { TensorsToWrite, TensorToWrite } from '../io/safetensors_writer.ts'
import { makeMask, type UnitMask } from '../masks/mask.ts'
import { backward } from '../engine/backward.ts'
import { forwardBatch, repad, unpad, type Unpadded } from '../engine/batch.ts'
import { countScored, meanLoss, negativeLogLikelihood } from '../engine/loss.ts'
import type { OptModel } from '../engine/opt_model.ts'
import { traceForward, type Trace } from '../engine/trace.ts'
import { InputError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import type { ParityTensor } from './check.ts'
import type { ParityCases } from './files.ts'
import { BatchScores } from './scores.ts'

/** How an export can be watched and stopped. */
export interface ExportOptions {
  readonly signal?: AbortSignal
  /** Called before each sequence and at the end. */
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Every tensor of a parity file for these cases.
 * @throws InputError MASK_NOT_CONTIGUOUS, PARITY_MASK if a mask is not of the model's shape; UsageError TOKENS,
 *   INDEX_RANGE for ids outside the vocabulary, CONTEXT_LENGTH; the signal's reason
 */
export async function exportParity(
  model: OptModel,
  cases: ParityCases,
  options: ExportOptions = {},
): Promise<TensorsToWrite> {
  const { B, T } = cases
  const sequences = unpad(cases.inputIds, cases.attentionMask, B, T)
  const tensors = new Tensors(model, sequences, T)
  tensors.addInputs(cases)
  const labels = labelsOf(sequences, cases)
  const scored = labels ? labels.reduce((total, row) => total + countScored(row), 0) : 0
  for (const [index, { tokens }] of sequences.entries()) {
    options.onProgress?.(index, B)
    await pause(options.signal)
    addSequence(tensors, model, tokens, labels && scored > 0 ? labels[index] : null, scored)
  }
  const mask = maskOf(model, cases)
  if (mask) {
    await pause(options.signal)
    tensors.addMasked(cases, mask, labels, scored)
  }
  options.onProgress?.(B, B)
  return tensors.finish()
}

/** Both passes of one sequence. */
function addSequence(
  tensors: Tensors,
  model: OptModel,
  tokens: Int32Array,
  labels: Int32Array | null,
  scored: number,
): void {
  const trace = traceForward(model, tokens)
  try {
    tensors.addTrace(trace)
    if (!labels) return
    const gradients = backward(model, trace, labels, { scored })
    try {
      tensors.addGradients({ model, tokens, labels, trace, gradients, seed: 0 })
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
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
function maskOf(model: OptModel, { headMask, ffnMask }: ParityCases): UnitMask | null {
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

/** The tensors of a file in the making, sequence by sequence. */
class Tensors {
  readonly #model: OptModel
  readonly #sequences: readonly Unpadded[]
  readonly #T: number
  readonly #tensors = new Map<string, TensorToWrite>()
  /** Rows of each sequence, not yet padded: name -> [per sequence, per layer]. */
  readonly #rows = new Map<string, Float32Array[]>()
  #scores: BatchScores | null = null
  #loss: number | null = null

  constructor(model: OptModel, sequences: readonly Unpadded[], T: number) {
    this.#model = model
    this.#sequences = sequences
    this.#T = T
  }

  addInputs({ B, T, inputIds, attentionMask, labels, headMask, ffnMask }: ParityCases): void {
    const ids = { input_ids: inputIds, attention_mask: attentionMask, labels }
    for (const [name, data] of Object.entries(ids))
      if (data) this.#tensors.set(name, { dtype: 'I64', shape: [B, T], data })
    for (const [name, mask] of Object.entries({ head_mask: headMask, ffn_mask: ffnMask }))
      if (mask) this.#addFloats(name, mask.shape, Float32Array.from(mask.values))
  }

  /** Adds what one sequence's forward pass computed. */
  addTrace(trace: Trace): void {
    const { layers } = this.#model.config
    const logits = trace.logits()
    this.#addRows('logits', logits)
    this.#addRows('nll', negativeLogLikelihood(this.#model.backend, logits, trace.tokens))
    for (let index = 0; index <= layers; index++) this.#addRows(`hidden.${index}`, trace.hidden(index))
    for (let layer = 0; layer < layers; layer++) {
      this.#addRows('head_out', trace.headOut(layer))
      this.#addRows('fc1_act', trace.fc1Act(layer))
    }
  }

  /** Adds what one sequence's backward pass computed; losses and gradients of the sequences are shares of the batch's. */
  addGradients(input: CriterionInput): void {
    const { gradients } = input
    this.#loss = (this.#loss ?? 0) + gradients.loss
    for (let layer = 0; layer < this.#model.config.layers; layer++) {
      this.#addRows('head_out_grad', gradients.headOut(layer))
      this.#addRows('fc1_act_grad', gradients.fc1Act(layer))
    }
    this.#scores ??= new BatchScores(this.#model)
    this.#scores.add(input)
  }

  /** Adds the pass under the cases' mask. Only a mask that is not of zeros and ones has to be simulated. */
  addMasked(cases: ParityCases, mask: UnitMask, labels: readonly Int32Array[] | null, scored: number): void {
    const { B, T, inputIds, attentionMask } = cases
    const { backend, config } = this.#model
    const binary = [mask.heads, mask.neurons].every((table) =>
      table.every((value) => value === 0 || value === 1),
    )
    const mode = binary ? 'skip' : 'simulate'
    const V = config.vocabulary
    const logits = forwardBatch(this.#model, inputIds, attentionMask, B, T, { masks: mask, mode })
    this.#addFloats('masked.logits', [B, T, V], logits)
    if (!labels || scored === 0) return
    const nll = this.#sequences.map(({ row, start, tokens }, index) => {
      const own = logits.slice((row * T + start) * V, (row * T + start + tokens.length) * V)
      return negativeLogLikelihood(backend, own, labels[index])
    })
    this.#addFloats(
      'masked.loss',
      [1],
      Float32Array.of(meanLoss(Float32Array.from(nll.flatMap((row) => [...row])), scored)),
    )
  }

  /** Everything added, padded. */
  finish(): TensorsToWrite {
    if (this.#loss !== null) this.#addFloats('loss', [1], Float32Array.of(this.#loss))
    for (const [name, rows] of this.#rows) this.#addPadded(name, rows)
    const scores = this.#scores?.finish(this.#sequences.length * this.#T) ?? []
    for (const [name, { shape, data }] of scores) this.#addFloats(name, shape, data)
    return this.#tensors
  }

  #addPadded(name: string, rows: readonly Float32Array[]): void {
    const B = this.#sequences.length
    const T = this.#T
    const perSequence = rows.length / B // L, or 1
    const width = rows[0].length / this.#sequences[0].tokens.length
    const layers = Array.from({ length: perSequence }, (_, layer) =>
      repad(
        this.#sequences,
        this.#sequences.map((_, index) => rows[index * perSequence + layer]),
        T,
        width,
      ),
    )
    const data = new Float32Array(perSequence * B * T * width)
    layers.forEach((values, layer) => data.set(values, layer * B * T * width))
    const shape = name === 'nll' ? [B, T] : isPerLayer(name) ? [perSequence, B, T, width] : [B, T, width]
    this.#addFloats(name, shape, data)
  }

  #addRows(name: string, values: Float32Array): void {
    const rows = this.#rows.get(name)
    if (rows) rows.push(values)
    else this.#rows.set(name, [values])
  }

  #addFloats(name: string, shape: readonly number[], data: Float32Array): void {
    this.#tensors.set(name, { dtype: 'F32', shape, data })
  }
}

function isPerLayer(name: string): boolean {
  return /^(head_out|fc1_act)(_grad)?$/.test(name)
}
