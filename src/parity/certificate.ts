/**
 * Certificates: what `parity run` found of a backend, kept with the hashes of what it was found of.
 *
 * A certificate holds for the kernels and for the definitions it names, byte for byte. Once either has changed it is
 * stale: it says nothing of what computes now.
 */
import * as v from 'valibot'
import { backendNames, type Backend, type BackendName } from '../backends/backend.ts'
import { kernelSources, readKernels } from '../backends/kernel_files.ts'
import { readWhole } from '../io/files.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { checkSchema, sha256Text } from '../io/schema.ts'
import { sha256 } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import {
  checkOptions,
  kinds,
  listOption,
  orNull,
  recordOption,
  required,
  type Kinds,
} from '../tensor/option.ts'
import { hashPlaces } from '../results/method_hash.ts'
import { makeProvenance, provenanceFields, type ModelSource, type Provenance } from '../results/provenance.ts'
import type { ModelOutcome } from './run_model.ts'
import type { OpOutcome } from './run_ops.ts'

const format = 'shadowllm-parity-certificate 1'

/** The content of a certificate. */
export interface Certificate {
  readonly format: typeof format
  /** Its data is the definitions that were compared with. */
  readonly provenance: Provenance
  /** SHA-256 of the file of the kernels, of the sources that write them, or of the definitions where the kernels are those. */
  readonly kernels: string
  readonly passed: boolean
  readonly ops: readonly OpOutcome[]
  /** Null where only ops were tried. */
  readonly model: ModelOutcome | null
}

/** What a run knows that a certificate is made of. */
export interface CertifiedRun {
  /** The backend that was judged. */
  readonly backend: Pick<Backend, 'name' | 'device'>
  /** The model, by name and SHA-256. */
  readonly source: ModelSource
  /** Of the cases. */
  readonly seed: number
  /** The command line, for the provenance. */
  readonly argv: readonly string[]
  /** What `runOps` found. */
  readonly ops: readonly OpOutcome[]
  /** What `runModel` found; null if no model was judged. */
  readonly model: ModelOutcome | null
}

const runFields: Kinds<CertifiedRun> = {
  backend: provenanceFields.backend,
  source: provenanceFields.model,
  seed: provenanceFields.seed,
  argv: provenanceFields.argv,
  ops: required(
    listOption(
      'a list of outcomes of runOps',
      recordOption<Pick<OpOutcome, 'op' | 'passed'>>('an outcome', {
        op: required(kinds.text),
        passed: required(kinds.flag),
      }),
    ),
  ),
  model: required(orNull(kinds.object)),
}

/** Whether everything that was tried agrees. */
export function hasPassed({ ops, model }: Pick<CertifiedRun, 'ops' | 'model'>): boolean {
  return ops.every(({ passed }) => passed) && (model?.passed ?? true)
}

/**
 * The certificate of a backend, as `shadowllm certify` writes it, from what `runOps` and `runModel` found. `readCertificate` reads one.
 * @throws UsageError OPTIONS, OPTION_NAME, OPTION_TYPE, SEED for fields of other names or types
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises'
 * import { ShadowModel } from 'shadowllm'
 * import { hashFiles, makeCertificate, readCertificate, runModel, runOps, type OpOutcome } from 'shadowllm/eval'
 *
 * const [opt, reference] = await Promise.all([
 *   ShadowModel.fromPretrained('embedded', { backend: 'wasm' }),
 *   ShadowModel.fromPretrained('embedded', { backend: 'reference' }),
 * ])
 * const { backend } = opt.model
 * const seed = 0
 * const ops: OpOutcome[] = []
 * for await (const one of runOps(backend, { ops: ['add', 'linear'], seed, small: true })) ops.push(one)
 * const model = await runModel(opt.model, reference.model, { seed, strict: true })
 * const source = { name: opt.name, hash: await hashFiles(opt.files) }
 * const certificate = await makeCertificate({ backend, source, seed, argv: [], ops, model })
 * const path = 'build/example/certificate.json'
 * await writeFile(path, JSON.stringify(certificate))
 * console.log((await readCertificate(path)).passed)
 * await opt.dispose()
 * await reference.dispose()
 * ```
 */
export async function makeCertificate(run: CertifiedRun): Promise<Certificate> {
  checkOptions(run, runFields, 'field')
  const { backend, source, seed, argv, ops, model } = run
  const { definitions, kernels } = await hashesOf(backend.name)
  const provenance = await makeProvenance({
    backend,
    model: source,
    data: { name: 'src/ops', hash: definitions },
    seed,
    argv,
  })
  return { format, provenance, kernels, passed: hasPassed(run), ops, model }
}

/** A certificate as text. What is not a finite number becomes null, as JSON has no other word for it. */
export function renderCertificate(certificate: Certificate): string {
  return `${JSON.stringify(certificate, null, 2)}\n`
}

/** What the numbers of a certificate were computed from. */
export interface Hashes {
  /** SHA-256 of the definitions of ops. */
  readonly definitions: string
  /** SHA-256 of what the backend computes them with. */
  readonly kernels: string
}

async function hashesOf(backend: BackendName): Promise<Hashes> {
  const kernels = await readKernels(backend)
  return {
    definitions: await hashPlaces(['ops']),
    kernels: kernels === null ? await hashPlaces([kernelSources[backend] ?? 'ops']) : await sha256(kernels),
  }
}

/** What is read of a certificate: of which backend, device (null for the processor), hashes and how many ops it is. */
export interface CertificateSummary
  extends Hashes, Pick<Provenance, 'backend' | 'version' | 'date' | 'device'> {
  readonly passed: boolean
  readonly ops: number
  readonly hasModel: boolean
}

/** More may stand in a certificate. */
const schema: v.GenericSchema<unknown, CertificateSummary> = v.pipe(
  v.object({
    format: v.literal(format),
    provenance: v.object({
      backend: v.picklist(backendNames),
      version: v.string(),
      date: v.string(),
      device: v.nullish(v.string(), null),
      data: v.object({ hash: sha256Text }),
    }),
    kernels: sha256Text,
    passed: v.boolean(),
    ops: v.array(v.unknown()),
    model: v.nullish(v.looseObject({}), null),
  }),
  v.transform(({ provenance: { data, ...provenance }, kernels, passed, ops, model }) => ({
    ...provenance,
    definitions: data.hash,
    kernels,
    passed,
    ops: ops.length,
    hasModel: model !== null,
  })),
)

/**
 * Reads what `shadowllm certify` or `makeCertificate` wrote: which backend was judged, on what, and whether it passed.
 * @param path of the JSON file
 * @throws InputError CERTIFICATE if it is none, JSON_*, FILE_*
 */
export async function readCertificate(path: string): Promise<CertificateSummary> {
  const json = toPlain(parseJson(await readWhole(path), path))
  return checkSchema(schema, json, { code: 'CERTIFICATE', subject: path })
}

/**
 * Checks that a certificate is of a run that passed, and still holds for what is here.
 * @throws ShadowError CERTIFICATE_FAILED, or CERTIFICATE_STALE if kernels or definitions have changed since (exit code 1)
 */
export async function checkHolds(path: string, certificate: CertificateSummary): Promise<void> {
  if (!certificate.passed)
    throw new ShadowError('CERTIFICATE_FAILED', `${path}: expected a run that passed, got one that failed`, 1)
  const here = await hashesOf(certificate.backend)
  for (const part of ['kernels', 'definitions'] as const)
    if (certificate[part] !== here[part])
      throw new ShadowError(
        'CERTIFICATE_STALE',
        `${path}: expected a certificate of ${part} ${short(here[part])}, which are here, got one of ${short(certificate[part])}; run parity again`,
        1,
      )
}

function short(hash: string): string {
  return `${hash.slice(0, 12)}...`
}
