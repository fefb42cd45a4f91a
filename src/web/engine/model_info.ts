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
