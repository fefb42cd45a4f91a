/**
 * What the engine says of a model it has opened, and of what comes next in a text.
 */
import type { ThreadReport } from '../../backends/backend.ts'
import type { HubOrigin } from '../../io/hub.ts'
import type { OptConfig } from '../../engine/config.ts'
import type { Storage } from '../../engine/matrix.ts'

/** An open model, for those who hold it by its number. */
export interface ModelInfo {
  readonly handle: number
  readonly name: string
  readonly origin: HubOrigin | null
  readonly files: readonly string[]
  readonly config: OptConfig
  readonly storage: Storage
  readonly threads: ThreadReport
  readonly hasTokenizer: boolean
}

/** A model of the hub that could be opened, and what that would take. */
export interface HubModelInfo {
  readonly origin: HubOrigin
  /** Bytes to download. */
  readonly bytes: number
  /** Numbers it is made of. */
  readonly parameters: number
  /** Bytes of its weights by what they are stored as; while they are read, those of the download come on top. */
  readonly memory: Readonly<Record<Storage, number>>
}

/** How likely a token is after some others, under each of several masks. */
export interface NextToken {
  readonly id: number
  readonly text: string
  /** A share for each mask. */
  readonly shares: readonly number[]
}
