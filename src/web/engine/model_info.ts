/**
 * Descriptions of models and of next tokens, as messages of the engine.
 */
import type { ThreadReport } from '../../backends/backend.ts'
import type { HubOrigin } from '../../io/hub.ts'
import type { ModelConfig } from '../../engine/config.ts'
import type { Storage } from '../../engine/storages/index.ts'

/** An open model and its handle. */
export interface ModelInfo {
  readonly handle: number
  readonly name: string
  readonly origin: HubOrigin | null
  readonly files: readonly string[]
  readonly config: ModelConfig
  readonly storage: Storage
  readonly threads: ThreadReport
  readonly hasTokenizer: boolean
}

/** Whether WebGPU runs a model, and why. */
export interface BackendChoice {
  /** Tokens per second that each decodes; the faster one is used. Null where WebGPU was not measured: WebAssembly is used. */
  readonly speeds: { readonly wasm: number; readonly webgpu: number } | null
  /** Why it was not measured: no adapter, one whose numbers differ, or an error. */
  readonly reason: 'missing' | 'inexact' | 'failed' | null
  /** The adapter, and what it gets wrong; or the error. */
  readonly words: string | null
}

/** A model of the hub, and its size. */
export interface HubModelInfo {
  readonly origin: HubOrigin
  /** Bytes to download. */
  readonly bytes: number
  /** The number of its parameters. */
  readonly parameters: number
  /** Bytes of its weights by storage; while it is opened, the downloaded bytes are in memory too. */
  readonly memory: Readonly<Record<Storage, number>>
}

/** The probabilities of a next token under several masks. */
export interface NextToken {
  readonly id: number
  readonly text: string
  /** The probability under each mask. */
  readonly shares: readonly number[]
}
