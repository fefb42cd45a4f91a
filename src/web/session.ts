/**
 * The session of the page: one engine, at most one open model, and the text that is being generated. An error becomes one
 * line.
 */
import type { OpenProgress } from '../library/options.ts'
import { isIsolated } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import type { BackendChoice, HubModelInfo } from './engine/model_info.ts'
import { RemoteModel, type ModelSource } from './engine/remote_model.ts'
import { startEngine } from './engine/start_engine.ts'
import type { UnitSwitch } from './engine/unit_switches.ts'
import type { RpcClient } from './engine/worker_rpc.ts'
import { emptyTrace, growTrace, type Trace, type TraceModel, type TraceSettings } from './trace/trace.ts'
import { layerSizes } from '../masks/achieved.ts'
import type { StorageChoice } from '../engine/storages/index.ts'

/** The number of generated tokens. */
export const PAGE_TOKENS = 48

/** What a reader can do about an error, by its code. */
const advice: Readonly<Record<string, string | undefined>> = {
  CONTEXT_LENGTH: 'The prompt is too long for this model: shorten it',
  HUB_NETWORK:
    'The hub cannot be reached. Try again with a network, or choose a folder or a GGUF file, which need none',
}

/** The message of an error as one line. Files are named as their user named them. */
export function messageOf(error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error))
    .replace(/\s+/g, ' ')
    .replace(/^mounted:[\w-]+: /, '')
    .replace(/mounted:[\w-]+\/?/g, '')
    .trim()
  const words = error instanceof ShadowError ? advice[error.code] : undefined
  return words === undefined ? message : `${words} (${message})`
}

/** The same with the error's code. */
export function lineOf(error: unknown): string {
  return error instanceof ShadowError ? `${messageOf(error)} [${error.code}]` : messageOf(error)
}

/** An engine and a model. */
export class Session {
  #rpc: RpcClient | null = null
  #opt: RemoteModel | null = null
  #writing: AbortController | null = null
  #opening: AbortController | null = null
  /** While it is measured where the model runs faster, no text is begun. */
  #choosing: Promise<unknown> | null = null

  /** Starts the engine, if it has not started. */
  start(): void {
    void this.rpc
  }

  /** The engine, which starts when it is first asked. */
  get rpc(): RpcClient {
    this.#rpc ??= startEngine().rpc
    return this.#rpc
  }

  get opt(): RemoteModel | null {
    return this.#opt
  }

  get isWriting(): boolean {
    return this.#writing !== null
  }

  /** The model as a trace describes it. */
  get model(): TraceModel | null {
    if (!this.#opt) return null
    const { name, config } = this.#opt.info
    const { layers, heads, neurons } = config
    return { name, shape: { layers, heads, neurons }, ...layerSizes(config, heads) }
  }

  /**
   * Opens a model and closes the previous one, which stays open if this fails.
   * @param source the model, or what fetches its files
   * @throws as `ShadowModel.fromPretrained`; AbortError if another model was opened meanwhile
   */
  async open(
    source: ModelSource | ((signal: AbortSignal) => Promise<ModelSource>),
    name: string,
    storage: StorageChoice,
    onProgress: (progress: OpenProgress) => void,
  ): Promise<void> {
    this.#opening?.abort()
    const opening = (this.#opening = new AbortController())
    const { signal } = opening
    const threads = isIsolated() ? ('auto' as const) : 1
    const given = typeof source === 'function' ? await source(signal) : source
    signal.throwIfAborted()
    const opt = await RemoteModel.fromPretrained(this.rpc, given, { storage, threads, signal, onProgress })
    this.stop()
    const last = this.#opt
    this.#opt = typeof given === 'string' ? opt : opt.called(name)
    await last?.dispose()
  }

  /**
   * Has the open model run where it decodes faster, between two texts: on WebGPU or on WebAssembly, with the same numbers.
   * @returns what was measured; null if a text is being generated or another model is opened
   */
  async choose(): Promise<BackendChoice | null> {
    const opt = this.#opt
    const signal = this.#opening?.signal
    if (!opt || this.#writing) return null
    const measuring = opt.faster({ signal })
    this.#choosing = measuring.catch(() => {})
    try {
      const { choice, model } = await measuring
      if (this.#opt !== opt) {
        await model?.dispose()
        return null
      }
      if (model) {
        this.#opt = model
        await opt.dispose()
      }
      return choice
    } catch (error) {
      if (signal?.aborted) return null
      throw error
    } finally {
      this.#choosing = null
    }
  }

  /** The size of a model of the hub. @throws as `lookUpModel` */
  async lookUp(id: string): Promise<HubModelInfo> {
    return (await this.rpc.call('lookUp', [id])) as HubModelInfo
  }

  /** Stops the text that is being generated. */
  stop(): void {
    this.#writing?.abort()
    this.#writing = null
  }

  /**
   * Generates a text, after stopping the current one. It returns early, without an error, if the text is stopped.
   * @param onTrace called with each token
   * @param switches units that are switched by hand
   * @throws as `study`
   */
  async write(
    prompt: string,
    settings: TraceSettings,
    onTrace: (trace: Trace) => void,
    switches: readonly UnitSwitch[] = [],
  ): Promise<void> {
    this.stop()
    const { model } = this
    if (!this.#opt || !model) return
    const writing = (this.#writing = new AbortController())
    let trace = emptyTrace(model, settings)
    const grow = (event: Parameters<typeof growTrace>[1]): void => {
      trace = growTrace(trace, event)
      onTrace(trace)
    }
    try {
      if (this.#choosing) await this.#choosing
      const events = this.#opt.study(prompt, {
        ...settings,
        switches,
        maxTokens: PAGE_TOKENS,
        signal: writing.signal,
      })
      for (;;) {
        const { done, value } = await events.next()
        if (writing.signal.aborted) return
        grow(value)
        if (done) return
      }
    } catch (error) {
      // A stop is not a fault, also where it is another text, or another model, that stops this one.
      if (!writing.signal.aborted) throw error
    } finally {
      if (this.#writing === writing) this.#writing = null
    }
  }
}
