/**
 * A certificate says what was found of which kernels, and is stale as soon as they, or the definitions, are others.
 *
 * Tests src/backends/kernel_files.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readKernels } from '../../src/backends/kernel_files.ts'
import { backendNames } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import {
  checkHolds,
  makeCertificate,
  readCertificate,
  renderCertificate,
  type CertificateSummary,
} from '../../src/parity/certificate.ts'
import { hashPlaces } from '../../src/results/method_hash.ts'
import { runOp } from '../../src/parity/run_ops.ts'
import { sha256, sha256File } from '../../src/platform/platform.ts'
import { probeWasm } from '../../src/platform/wasm_features.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const folder = temporaryFolder()

const wasm = await createBackend('wasm')
afterAll(() => wasm.dispose())

const run = {
  backend: wasm,
  source: { name: 'none', hash: '' },
  seed: 0,
  argv: [],
  ops: [runOp(wasm, 'add', { seed: 0, small: true })],
  model: null,
}
const text = renderCertificate(await makeCertificate(run))

let count = 0

/** Writes a file that says this; its path. */
function fileSaying(content: string): string {
  const path = join(folder, `${count++}.json`)
  writeFileSync(path, content)
  return path
}

test('every backend names its kernels', async () => {
  for (const name of backendNames) {
    const bytes = await readKernels(name)
    if (name === 'reference') expect(bytes).toBe(null)
    else if (name.startsWith('webgpu')) {
      const made = await makeCertificate({ ...run, backend: { name } })
      expect(made.kernels).toBe(await hashPlaces(['backends/webgpu']))
      expect(made.provenance.data.hash).toBe(await hashPlaces(['ops']))
    } else expect(bytes?.length, name).toBeGreaterThan(1000)
  }
})

test('states results, kernels and version', async () => {
  const path = fileSaying(text)
  const certificate = await readCertificate(path)
  expect(certificate).toMatchObject({ backend: 'wasm', device: null, ops: 1, hasModel: false })
  expect(certificate.kernels).toBe(await sha256((await readKernels('wasm')) as Uint8Array<ArrayBuffer>))
  const file = probeWasm().relaxedSimd ? 'kernels_bytes.wasm' : 'kernels.wasm'
  expect(certificate.kernels).toBe(await sha256File(join('src', 'backends', 'wasm', file)))
  await checkHolds(path, certificate)
  expect(JSON.parse(text)).toMatchObject({
    provenance: { seed: 0, backend: 'wasm', version: expect.any(String) },
    ops: [{ op: 'add', passed: true, milliseconds: expect.any(Number) }],
  })
})

test('names another device', async () => {
  const made = await makeCertificate({ ...run, backend: { name: 'wasm', device: 'a device, driver 1' } })
  expect((await readCertificate(fileSaying(renderCertificate(made)))).device).toBe('a device, driver 1')
})

describe('a stale certificate', () => {
  type Fresh = (path: string, certificate: CertificateSummary) => Promise<void>

  /** That a certificate of something else is told from one of what is here. */
  async function tellsStale(isFresh: Fresh, part: 'kernels' | 'definitions'): Promise<void> {
    const certificate = await readCertificate(fileSaying(text))
    const other = { ...certificate, [part]: certificate[part].replace(/^./, (c) => (c === '0' ? '1' : '0')) }
    const error: unknown = await isFresh('c.json', other).then(
      () => null,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(ShadowError)
    expect(error).toMatchObject({ code: 'CERTIFICATE_STALE', exitCode: 1 })
    expect((error as Error).message).toContain(`a certificate of ${part}`)
  }

  test.each(['kernels', 'definitions'] as const)('once the %s are others', (part) =>
    tellsStale(checkHolds, part),
  )

  test('a mutant that checks the kernels alone is killed', async () => {
    const blind: Fresh = async (path, { kernels, ...rest }) => {
      const { definitions } = await readCertificate(fileSaying(text))
      await checkHolds(path, { ...rest, kernels, definitions })
    }
    await expect(tellsStale(blind, 'definitions')).rejects.toThrow()
  })
})

test('of a failed run does not hold', async () => {
  const failed = { ...run, ops: [{ ...run.ops[0], passed: false }] }
  const path = fileSaying(renderCertificate(await makeCertificate(failed)))
  const certificate = await readCertificate(path)
  await expect(checkHolds(path, certificate)).rejects.toMatchObject({
    code: 'CERTIFICATE_FAILED',
    exitCode: 1,
  })
})

test.each<[string, string, object | null]>([
  ['OPTIONS', 'options: expected an object, got null', null],
  ['OPTION_TYPE', 'backend: expected a backend, got the text wasm', { backend: 'wasm' }],
  ['OPTION_TYPE', 'ops: expected a list of outcomes of runOps, got a list of 1', { ops: ['add'] }],
  ['OPTION_TYPE', 'model: expected an object, or null, got undefined', { model: undefined }],
  ['OPTION_NAME', 'unknown field sourse (did you mean source?)', { sourse: {} }],
])('is not made of other fields, %s: %s', async (code, message, change) => {
  await expect(makeCertificate((change && { ...run, ...change }) as never)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
    exitCode: 2,
  })
})
