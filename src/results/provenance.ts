/**
 * Where numbers come from: enough to tell whether two reports may be compared, and to make one again.
 */
import type { Backend, BackendName } from '../backends/backend.ts'
import type { LanguageModel } from '../engine/language_model.ts'
import type { Encode } from '../io/encode_pieces.ts'
import type { HubOrigin } from '../io/hub.ts'
import { machine, readFile, runtime, sha256, sha256File } from '../platform/platform.ts'
import {
  checkOptions,
  expectOption,
  kinds,
  orNull,
  recordOption,
  required,
  seedOption,
  type Kinds,
} from '../tensor/option.ts'

/** Where the numbers of a report come from. */
export interface Provenance {
  /** Of this package. */
  readonly version: string
  /** Of the checkout it runs from; null where there is none. */
  readonly commit: string | null
  readonly runtime: string
  readonly system: string
  readonly processor: string
  readonly threads: number
  readonly backend: BackendName
  /** What the backend computes on, its driver's version with it; null where that is the processor. */
  readonly device: string | null
  readonly model: ModelSource
  readonly data: Source
  readonly seed: number
  /** The command line. */
  readonly argv: readonly string[]
  /** When the run began, in UTC. */
  readonly date: string
}

/** A name, and the SHA-256 of the content that had it. */
export interface Source {
  readonly name: string
  readonly hash: string
}

/** A model; one that came from the hub has its name there, the revision asked for, and the commit that was. */
export interface ModelSource extends Source {
  readonly hub?: HubOrigin
}

/** A model that is measured, as a report names it. */
export interface NamedModel {
  /** What the model is called in reports. */
  readonly modelName: string
  /** The files it was read from, hashed for the provenance. */
  readonly modelFiles: readonly string[]
  /** Where on the hub they came from, if they did. */
  readonly modelOrigin?: HubOrigin | null
  /** The command line, for the provenance. */
  readonly argv?: readonly string[]
}

/** A loaded model that is measured: what computes it, what reports say of it, and the way from text to its ids. */
export interface MeasuredModel extends NamedModel {
  /** The model that reads the text. */
  readonly model: LanguageModel
  /** Text to ids, nothing added. */
  readonly encode: Encode
  /** The ids that the model expects before a text. */
  readonly prefixIds: readonly number[]
}

/** The fields of a measured model. */
export const measuredFields: Kinds<MeasuredModel> = {
  model: required(kinds.model),
  modelName: required(kinds.text),
  modelFiles: required(kinds.texts),
  modelOrigin: orNull(kinds.object),
  argv: kinds.texts,
  encode: required(kinds.call),
  prefixIds: required(kinds.idList),
}

/** The description of a model in a report. */
export function modelSource(name: string, hash: string, origin: HubOrigin | null = null): ModelSource {
  return { name, hash, ...(origin && { hub: origin }) }
}

/** The part of the provenance that only the run itself knows. */
export interface ProvenanceInputs extends Pick<Provenance, 'model' | 'data' | 'seed' | 'argv'> {
  readonly backend: Pick<Backend, 'name' | 'device'>
}

const sourceFields: Kinds<Source> = { name: required(kinds.text), hash: required(kinds.text) }
/** The fields of what the run knows. */
export const provenanceFields: Kinds<ProvenanceInputs> = {
  backend: required(
    recordOption<ProvenanceInputs['backend']>('a backend', {
      name: required(kinds.text),
      device: orNull(kinds.text),
    }),
  ),
  model: required(
    recordOption<ModelSource>('{ name, hash } of a model', { ...sourceFields, hub: kinds.object }),
  ),
  data: required(recordOption<Source>('{ name, hash } of the data', sourceFields)),
  seed: required(seedOption),
  argv: required(kinds.texts),
}

/**
 * What a report says of where its numbers come from: what the run knows, completed by version, runtime, system, processor and date.
 * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE, SEED for inputs of other names or types
 */
export async function makeProvenance(inputs: ProvenanceInputs): Promise<Provenance> {
  checkOptions(inputs, provenanceFields, 'field')
  const { processor, threads } = machine()
  const { backend, ...others } = inputs
  return {
    version: await packageVersion(),
    commit: await checkoutCommit(),
    runtime: `${runtime.name} ${runtime.version}`,
    system: runtime.system,
    processor,
    threads,
    backend: backend.name,
    device: backend.device ?? null,
    ...others,
    date: new Date().toISOString(),
  }
}

/**
 * SHA-256 of a model's files, in hexadecimal, which `calibrateToFolder` takes as `modelHash`. One hash for several files: that of their
 * hashes, a line each. A single file has its own.
 * @param paths in order: those of `ShadowModel.files` give the hash of a model
 * @throws UsageError OPTION_TYPE for no list of paths; InputError as for every file that is read
 */
export async function hashFiles(paths: readonly string[]): Promise<string> {
  expectOption('paths', paths, kinds.texts)
  const hashes: string[] = []
  for (const path of paths) hashes.push(await sha256File(path))
  return hashes.length === 1 ? hashes[0] : sha256(hashes.join('\n'))
}

/** One hash for texts and their names. */
export function hashTexts(
  texts: readonly { readonly name: string; readonly text: string }[],
): Promise<string> {
  const all = texts.map(({ name, text }) => `${name}\n${text.length}\n${text}`).join('\n')
  return sha256(all)
}

const root = new URL('../../', import.meta.url)

async function readText(location: string | URL): Promise<string | null> {
  try {
    return new TextDecoder().decode(await readFile(location))
  } catch {
    // Not there, which is an answer: a package that is installed has no checkout around it.
    return null
  }
}

async function packageVersion(): Promise<string> {
  const text = await readText(new URL('package.json', root))
  return text === null ? 'unknown' : String((JSON.parse(text) as { version?: unknown }).version)
}

/** The commit HEAD names, read from the files of git; git itself is not needed. */
async function checkoutCommit(): Promise<string | null> {
  const head = (await readText(new URL('.git/HEAD', root)))?.trim()
  if (head === undefined) return null
  const branch = /^ref: (refs\/[\w./-]+)$/.exec(head)?.[1]
  if (branch === undefined) return /^[0-9a-f]{40,64}$/.test(head) ? head : null
  const loose = (await readText(new URL(`.git/${branch}`, root)))?.trim()
  if (loose !== undefined) return loose
  const packed = await readText(new URL('.git/packed-refs', root))
  return packed?.match(new RegExp(`^([0-9a-f]+) ${branch.replaceAll('.', '\\.')}$`, 'm'))?.[1] ?? null
}
