/**
 * Published models that are known by their sizes: what is known of them beyond their files.
 */
import type { OwnSampling } from './chat_template.ts'

/** The part of a configuration by which a model is known. */
export interface KnownShape {
  readonly layers: number
  readonly width: number
  readonly heads: number
  readonly neurons: number
  readonly vocabulary: number
  readonly rotary: { readonly base: number } | null
}

/** A published model. */
interface KnownModel extends KnownShape {
  /** Also that of its predictor in this package. */
  readonly name: string
  /** How its makers draw tokens of chats, where no file says so. */
  readonly sampling: OwnSampling
}

/** SmolLM-135M, the earlier one, has the same sizes and another base. Sampling as in the model card of SmolLM2-135M-Instruct. */
const models: readonly KnownModel[] = [
  {
    name: 'smollm2-135m',
    layers: 30,
    width: 576,
    heads: 9,
    neurons: 1536,
    vocabulary: 49_152,
    rotary: { base: 100_000 },
    sampling: { temperature: 0.2, topP: 0.9 },
  },
]

/** The known model of these sizes and rotations; null if there is none. */
export function knownModel(model: KnownShape): KnownModel | null {
  const sizes = ['layers', 'width', 'heads', 'neurons', 'vocabulary'] as const
  return (
    models.find(
      (known) =>
        sizes.every((size) => known[size] === model[size]) && known.rotary?.base === model.rotary?.base,
    ) ?? null
  )
}

/**
 * How a model's makers draw tokens: as its files say, else as is known of a model that chats.
 * @param own what the files say; nothing where they say nothing
 */
export function makersSampling(own: OwnSampling, shape: KnownShape, chats: boolean): OwnSampling {
  return chats && Object.keys(own).length === 0 ? (knownModel(shape)?.sampling ?? own) : own
}
