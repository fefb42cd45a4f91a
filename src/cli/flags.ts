/**
 * Flags that several commands share, spelled and described once.
 */
import { Option } from 'commander'
import { backendNames, type BackendName } from '../backends/backend.ts'
import { cacheStorages } from '../engine/layer_cache.ts'
import { storages, type Storage } from '../engine/matrix.ts'
import { seedFlag, threadsFlag } from './values.ts'

/** What a command that runs a model is given. */
export interface ModelFlags {
  /** A folder or a name on the hub, or nothing for the embedded model. */
  readonly model?: string
  readonly revision?: string
  readonly offline?: boolean
  readonly backend: BackendName
  readonly storage?: Storage
  /** Default: one. */
  readonly threads?: number | 'auto'
  readonly quiet?: boolean
}

/** Which model. */
export function modelOption(): Option {
  return new Option(
    '-m, --model <name>',
    'folder of an OPT model in Hugging Face form, else its name on the hub (default: the embedded tiny-opt)',
  )
}

/** Which state of it. */
export function revisionOption(): Option {
  return new Option('--revision <name>', 'of a model on the hub: a branch, a tag or a commit (default: main)')
}

/** Whether the hub may be asked. */
export function offlineOption(): Option {
  return new Option('--offline', 'take a model of the hub from the cache, and ask nobody')
}

/** What computes. */
export function backendOption(): Option {
  return new Option('--backend <name>', 'what computes').choices(backendNames).default('wasm')
}

/** What weights are stored as. */
export function storageOption(): Option {
  return new Option('--storage <name>', 'what weights are stored as').choices(storages).default('f32')
}

/** How the past is kept. */
export function cacheOption(): Option {
  return new Option(
    '--cache <storage>',
    'what keys and values of the past are stored as (default: int8 where weights are, else f32)',
  ).choices(cacheStorages)
}

/** How many threads compute. */
export function threadsOption(): Option {
  return new Option(
    '--threads <count>',
    'threads that may compute, or auto; more than one where measured to be faster (default: 1)',
  ).argParser(threadsFlag)
}

/** The one seed of a run. */
export function seedOption(): Option {
  return new Option('--seed <number>', 'seed of everything random').argParser(seedFlag).default(0)
}

/** No progress, on a terminal either. */
export function quietOption(): Option {
  return new Option('-q, --quiet', 'no progress')
}
