/**
 * What the page holds: one engine, at most one model in it, and the text that is being written. What goes wrong becomes
 * one line.
 */
import type { OpenProgress } from '../options.ts'
import { isIsolated } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import type { HubModelInfo } from './engine/model_info.ts'
import { RemoteOpt, type ModelSource } from './engine/remote_opt.ts'
import { startEngine } from './engine/start_engine.ts'
import type { RpcClient } from './engine/worker_rpc.ts'
import { emptyTrace, growTrace, type Trace, type TraceModel, type TraceSettings } from './trace/trace.ts'
import type { Storage } from '../engine/matrix.ts'

/** Tokens that are written. */
const TOKENS = 48

/** An error as one line. */
export function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const line = message.replace(/\s+/g, ' ').trim()
  return error instanceof ShadowError ? `${line} [${error.code}]` : line
}

/** An engine and a model. */
export class Session {
  readonly rpc: RpcClient = startEngine().rpc
  #opt: RemoteOpt | null = null
  #writing: AbortController | null = null
  #opening: AbortController | null = null

  get opt(): RemoteOpt | null {
    return this.#opt
  }

  get isWriting(): boolean {
    return this.#writing !== null
  }

  /** The model as a trace knows it. */
  get model(): TraceModel | null {
    if (!this.#opt) return null
    const { name, config } = this.#opt.info
    const { layers, heads, neurons, width } = config
    return { name, shape: { layers, heads, neurons }, width }
  }

  /**
   * Opens a model in the place of the one that is there, which stays if it fails.
   * @throws as `ShadowOpt.fromPretrained`; AbortError if another was opened meanwhile
   */
  async open(
    source: ModelSource,
    name: string,
    storage: Storage,
    onProgress: (progress: OpenProgress) => void,
  ): Promise<void> {
    this.#opening?.abort()
    const opening = (this.#opening = new AbortController())
    const { signal } = opening
    const threads = isIsolated() ? ('auto' as const) : 1
    const opt = await RemoteOpt.fromPretrained(this.rpc, source, { storage, threads, signal, onProgress })
    this.stop()
    const last = this.#opt
    this.#opt = typeof source === 'string' ? opt : opt.called(name)
    await last?.dispose()
  }

  /** What opening a model of the hub would take. @throws as `lookUpModel` */
  async lookUp(id: string): Promise<HubModelInfo> {
    return (await this.rpc.call('lookUp', [id])) as HubModelInfo
  }

  /** Ends the text that is being written. */
  stop(): void {
    this.#writing?.abort()
    this.#writing = null
  }

  /**
   * Writes a text; one that is being written ends.
   * @param onTrace told with each token
   * @throws as `study`; AbortError if it was stopped
   */
  async write(prompt: string, settings: TraceSettings, onTrace: (trace: Trace) => void): Promise<void> {
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
      const events = this.#opt.study(prompt, { ...settings, maxTokens: TOKENS, signal: writing.signal })
      for (;;) {
        const { done, value } = await events.next()
        if (writing.signal.aborted) return
        grow(value)
        if (done) return
      }
    } finally {
      if (this.#writing === writing) this.#writing = null
    }
  }
}
