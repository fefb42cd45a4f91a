/**
 * What the engine says of a model it has opened.
 */
import type { ThreadReport } from '../../backends/backend.ts'
import type { HubOrigin } from '../../io/hub.ts'
import type { OptConfig } from '../../model/opt/config.ts'
import type { Storage } from '../../model/opt/matrix.ts'

/** An open model, for those who hold it by its number. */
export interface ModelCard {
  readonly handle: number
  readonly name: string
  readonly origin: HubOrigin | null
  readonly files: readonly string[]
  readonly config: OptConfig
  readonly storage: Storage
  readonly threads: ThreadReport
  readonly hasTokenizer: boolean
}
