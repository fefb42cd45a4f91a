/**
 * Flags that several commands share, spelled and described once.
 */
import { Option, type Command } from 'commander'
import { backendNames, type BackendName } from '../backends/backend.ts'
import { cacheStorages } from '../engine/layer_cache.ts'
import { storageNamed, storages, type Storage } from '../engine/storages/index.ts'
import { UsageError } from '../tensor/errors.ts'
import { seedFlag, threadsFlag } from './values.ts'

/** The flags of a command that runs a model. */
export interface ModelFlags {
  /** A folder or a name on the hub; default: the embedded model. */
  readonly model?: string
  readonly revision?: string
  readonly offline?: boolean
  readonly backend: BackendName
  readonly storage?: Storage
  /** Default: one. */
  readonly threads?: number | 'auto'
}

/** What `--backend` is by default. */
export const defaultBackend = 'wasm'

const revision = (): Option =>
  new Option('--revision <name>', 'of a model on the hub: a branch, a tag or a commit (default: main)')
const offline = (): Option =>
  new Option('--offline', 'take a model of the hub from the cache, without network access')
const json = (): Option => new Option('--json', 'print one JSON object instead of text')

/** Storages beside which the KV cache is int8. */
const rounding = storages.filter((name) => storageNamed(name).roundsActivations)

/** Each flag, or the few that belong together, by the name that commands ask for. */
const sharedFlags = {
  /** Which model. */
  model: () => [
    new Option(
      '-m, --model <name>',
      'folder of a model in Hugging Face form, else its name on the hub (default: the embedded tiny-opt)',
    ),
    revision(),
    offline(),
  ],
  /** Where a model comes from, for commands that take its name otherwise. */
  hub: () => [revision(), offline()],
  backend: () => [
    new Option('--backend <name>', 'the backend that computes').choices(backendNames).default(defaultBackend),
  ],
  /** What weights are stored as. */
  storage: () => [
    new Option('--storage <name>', 'what weights are stored as').choices(storages).default('f32'),
  ],
  /** What the KV cache is stored as. */
  cache: () => [
    new Option(
      '--cache <storage>',
      `what the KV cache is stored as (default: int8 if weights are ${rounding.join(' or ')}, else f32)`,
    ).choices(cacheStorages),
  ],
  threads: () => [
    new Option(
      '--threads <count>',
      'threads that may compute, or auto; more than one where measured to be faster (default: 1)',
    ).argParser(threadsFlag),
  ],
  seed: () => [new Option('--seed <number>', 'seed of all random numbers').argParser(seedFlag).default(0)],
  json: () => [json()],
  /** Where a report goes. */
  report: () => [json(), new Option('-o, --output <file>', 'also write the JSON object to a file')],
  /** program.ts obeys it for every command. */
  quiet: () => [new Option('-q, --quiet', 'no progress, and no line of numbers after a text')],
} satisfies Record<string, () => Option[]>

/** A flag that has another name now: it is not in the help, and is refused with the new name. */
export function renamedOption(flags: string, now: string): Option {
  const [name] = flags.split(' ')
  return new Option(flags).hideHelp().argParser(() => {
    throw new UsageError('FLAGS', `${name}: expected ${now}, which is its name now, got the old one`)
  })
}

/** Adds flags to a command, in this order. */
export function addFlags(command: Command, ...names: (keyof typeof sharedFlags)[]): Command {
  for (const option of names.flatMap((name) => sharedFlags[name]())) command.addOption(option)
  return command
}
