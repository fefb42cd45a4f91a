/**
 * The interface of `ShadowModel` on a model in a worker, so that a page stays responsive.
 *
 * Differences from `ShadowModel`: a model is opened by name or from files, custom planners are not supported, and every call
 * returns a promise.
 */
import type { UnitMask } from '../../masks/mask.ts'
import type { BatchInput, GenerateOptions, GenerateStep, MaskOptions } from '../../library/options.ts'
import type { OpenOptions, OpenProgress, Perplexity } from '../../library/options.ts'
import type { GenerateEnd } from '../../engine/generate.ts'
import type { PlanOptions } from '../../library/planner_options.ts'
import { asNdarray, type FloatArray, type Ids } from '../../tensor/ndarrays.ts'
import type { BackendChoice, ModelInfo, NextToken } from './model_info.ts'
import type { PredictorParts } from './predictor_parts.ts'
import type { RpcClient } from './worker_rpc.ts'
import type { StudyEnd, StudyEvent, StudyOptions } from './study_types.ts'

/** The source of a model: a name as in `fromPretrained`, or the files of a folder by name. */
export type ModelSource = string | ReadonlyMap<string, Blob>

/**
 * A model in a thread of its own, so that a page stays alive while it computes: the methods of `ShadowModel` as promises and async
 * generators. Dispose it, then end the engine.
 * @example
 * ```ts
 * import { RemoteModel, startEngine } from 'shadowllm/worker'
 *
 * const engine = startEngine()
 * const model = await RemoteModel.fromPretrained(engine.rpc, 'embedded')
 * let text = ''
 * for await (const step of model.generate('Once upon a time', { sparsity: 0.5, maxTokens: 12 })) text += step.text
 * console.log(text)
 * await model.dispose()
 * await engine.end()
 * ```
 */
export class RemoteModel {
  readonly info: ModelInfo
  readonly #rpc: RpcClient

  private constructor(rpc: RpcClient, info: ModelInfo) {
    this.#rpc = rpc
    this.info = info
  }

  /**
   * As `ShadowModel.fromPretrained`, in the engine of a client.
   * @param rpc the client of an engine (`startEngine`)
   * @throws as it does
   */
  static async fromPretrained(
    rpc: RpcClient,
    source: ModelSource,
    { signal, onProgress, ...options }: OpenOptions = {},
  ): Promise<RemoteModel> {
    const report = (value: unknown): void => onProgress?.(value as OpenProgress)
    const info = await rpc.call('open', [source, options], { signal, onProgress: report })
    return new RemoteModel(rpc, info as ModelInfo)
  }

  /**
   * The same model under another name, for models from files.
   * @param name that the page shows
   */
  called(name: string): RemoteModel {
    return new RemoteModel(this.#rpc, { ...this.info, name })
  }

  /** As `ShadowModel.generate`. */
  generate(
    prompt: string | Ids,
    { signal, ...options }: GenerateOptions = {},
  ): AsyncGenerator<GenerateStep, GenerateEnd, void> {
    const steps = this.#rpc.iterate('generate', [this.info.handle, prompt, options], { signal })
    return steps as AsyncGenerator<GenerateStep, GenerateEnd, void>
  }

  /** As `ShadowModel.forward`. */
  async forward(
    input: Ids | BatchInput,
    { signal, ...options }: PlanOptions = {},
  ): Promise<{ logits: FloatArray }> {
    const result = await this.#rpc.call('forward', [this.info.handle, input, options], { signal })
    const { values, shape } = result as { values: Float32Array; shape: number[] }
    return { logits: asNdarray(values, shape) }
  }

  /** As `ShadowModel.mask`. */
  async mask(prompt: string | Ids, options: MaskOptions = {}): Promise<UnitMask> {
    return (await this.#rpc.call('mask', [this.info.handle, prompt, options])) as UnitMask
  }

  /** As `ShadowModel.perplexity`; under masks, `textPerplexity` measures, in the thread that calls it. */
  async perplexity(text: string, { signal }: Pick<OpenOptions, 'signal'> = {}): Promise<Perplexity> {
    return (await this.#rpc.call('perplexity', [this.info.handle, text], { signal })) as Perplexity
  }

  /** As `ShadowModel.encode`. */
  async encode(text: string): Promise<number[]> {
    return (await this.#rpc.call('encode', [this.info.handle, text])) as number[]
  }

  /**
   * Generates a sparse and a dense text, with the scores behind the masks (`study.ts`).
   * @param prompt text
   */
  study(
    prompt: string,
    { signal, ...options }: StudyOptions = {},
  ): AsyncGenerator<StudyEvent, StudyEnd, void> {
    const steps = this.#rpc.iterate('study', [this.info.handle, prompt, options], { signal })
    return steps as AsyncGenerator<StudyEvent, StudyEnd, void>
  }

  /**
   * The most likely next tokens under any of some masks (null is dense), best first.
   * @param ids [T], the text so far
   * @param masks one for each row of the answer
   * @param options how many tokens, and a signal that ends the work
   */
  async next(
    ids: Int32Array,
    masks: readonly (UnitMask | null)[],
    { signal }: Pick<OpenOptions, 'signal'> = {},
  ): Promise<NextToken[]> {
    return (await this.#rpc.call('next', [this.info.handle, ids, masks], { signal })) as NextToken[]
  }

  /**
   * What is inside the model's predictor for a prompt; null without one (`predictor_parts.ts`).
   * @param prompt [T]
   */
  async predictor(prompt: Int32Array): Promise<PredictorParts | null> {
    return (await this.#rpc.call('predictor', [this.info.handle, prompt])) as PredictorParts | null
  }

  /**
   * Measures whether WebGPU decodes faster. If it does, the model is opened there too, with the same numbers: dispose of one of both.
   * Models of the hub are not measured: their files would be downloaded again.
   * @param options a signal that ends the measurement
   */
  async faster({ signal }: Pick<OpenOptions, 'signal'> = {}): Promise<{
    readonly choice: BackendChoice
    readonly model: RemoteModel | null
  }> {
    const found = await this.#rpc.call('faster', [this.info.handle], { signal })
    const { choice, info } = found as { choice: BackendChoice; info: ModelInfo | null }
    const model = info && new RemoteModel(this.#rpc, { ...info, name: this.info.name })
    return { choice, model }
  }

  /** Frees the model. Safe to call twice. */
  async dispose(): Promise<void> {
    await this.#rpc.call('dispose', [this.info.handle])
  }
}
