/**
 * A model inside a backend: where its users begin.
 *
 * It owns the weights and knows no sequence; `begin` starts one. Any number of sequences may be open at a time. It
 * knows no file format either: tensors come from a TensorSource.
 */
import type { Backend } from '../backends/backend.ts'
import type { TensorSource } from '../tensor/tensor_source.ts'
import type { ModelConfig } from './config.ts'
import { LoadedModel } from './loaded_model.ts'
import { Sequence, type ResumeOptions, type SequenceOptions, type SequenceState } from './sequence.ts'
import type { LoadOptions } from './weight_reader.ts'
import { loadWeights } from './weights.ts'

/** A loaded model. Its methods take token ids; text, chats and files are those of `ShadowModel`, whose `model` is one. */
export class LanguageModel extends LoadedModel {
  /**
   * Loads a model. The source stays open; its owner closes it.
   * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DUPLICATE, TENSOR_EXTRA, WEIGHT_NOT_FINITE and what the
   *   source throws; the signal's reason if it is aborted. Nothing stays allocated then.
   */
  static async load(
    config: ModelConfig,
    source: TensorSource,
    backend: Backend,
    options: LoadOptions = {},
  ): Promise<LanguageModel> {
    return new LanguageModel(config, backend, await loadWeights(config, source, backend, options))
  }

  /**
   * Starts a sequence at position 0.
   * @throws UsageError MASK_SHAPE, MASK_VALUE, PLANNER
   */
  begin(options: SequenceOptions = {}): Sequence {
    return new Sequence(this, options)
  }

  /**
   * Goes on from a state of a sequence of this model.
   * @param options the planner must be like that of the state
   * @throws InputError SESSION if it is not; UsageError MASK_VALUE, PLANNER; MissingError BACKEND_MEMORY
   */
  resume(state: SequenceState, options: ResumeOptions = {}): Sequence {
    return new Sequence(this, options, state)
  }
}

/** Gives `work` a sequence of a model, which is freed whatever comes of it. @returns what `work` does @throws as `begin` */
export function withSequence<Result>(
  model: Pick<LanguageModel, 'begin'>,
  options: SequenceOptions,
  work: (sequence: Sequence) => Result,
): Result {
  const sequence = model.begin(options)
  try {
    return work(sequence)
  } finally {
    sequence.dispose()
  }
}
