/**
 * Flags that several commands share, spelled and described once.
 */
import { Option } from 'commander'
import type { BackendName } from '../backends/backend.ts'
import { backendNames } from '../backends/select.ts'
import { seedFlag } from './values.ts'

/** What a command that runs a model is given. */
export interface ModelFlags {
  /** A folder, or nothing for the embedded model. */
  readonly model?: string
  readonly backend: BackendName
  readonly quiet?: boolean
}

export function modelOption(): Option {
  return new Option(
    '-m, --model <dir>',
    'folder of an OPT model in Hugging Face form (default: the embedded tiny-opt)',
  )
}

export function backendOption(): Option {
  return new Option('--backend <name>', 'what computes').choices(backendNames).default('wasm')
}

export function seedOption(): Option {
  return new Option('--seed <number>', 'seed of everything random').argParser(seedFlag).default(0)
}

export function quietOption(): Option {
  return new Option('-q, --quiet', 'no progress')
}
