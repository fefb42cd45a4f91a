/**
 * What storing weights in fewer bits costs: the same texts read by the same model in each storage, beside float32.
 *
 * One model is in memory at a time. Of the first, the float32 one, the logits are kept; of the others only what each
 * text costs and how far its logits are away.
 */
import type { Storage } from '../model/opt/matrix.ts'
import type { OptModel } from '../model/opt/opt_model.ts'
import { DenseSpan, readSpan } from './span.ts'

/** How one storage does, over all texts. */
export interface StorageError {
  readonly storage: Storage
  /** Bytes of all weights as they are held. */
  readonly bytes: number
  /** Tokens scored: all but the first of each text. */
  readonly tokens: number
  /** Mean over tokens of KL(float32 || this), in nats. */
  readonly kl: number
  readonly tokenPerplexity: number
  /** Share of tokens at which the likeliest token is that of float32. */
  readonly agreed: number
}

/**
 * Reads every text in float32 and in each storage.
 * @param texts token ids, at least two each
 * @param open loads the model in a storage; it is disposed of here
 * @returns float32 first, then the others in the order given
 * @throws what `open` throws
 */
export async function measureStorages(
  texts: readonly Int32Array[],
  storages: readonly Storage[],
  open: (storage: Storage) => Promise<OptModel>,
): Promise<StorageError[]> {
  const exact: DenseSpan[] = []
  const errors: StorageError[] = []
  for (const storage of ['f32' as const, ...storages.filter((one) => one !== 'f32')]) {
    const model = await open(storage)
    try {
      errors.push(errorOf(storage, model, texts, exact))
    } finally {
      model.dispose()
    }
  }
  return errors
}

function errorOf(
  storage: Storage,
  model: OptModel,
  texts: readonly Int32Array[],
  exact: DenseSpan[],
): StorageError {
  const scores = texts.map((tokens, i) => {
    const span = readSpan(model, tokens, { start: 1 })
    exact[i] ??= new DenseSpan(span, tokens, model.config.vocabulary)
    return exact[i].compare(span)
  })
  const sum = (of: 'tokens' | 'kl' | 'nll' | 'agreed'): number =>
    scores.reduce((total, score) => total + score[of], 0)
  const tokens = sum('tokens')
  return {
    storage,
    bytes: model.weights.bytes,
    tokens,
    kl: sum('kl') / tokens,
    tokenPerplexity: Math.exp(sum('nll') / tokens),
    agreed: sum('agreed') / tokens,
  }
}
