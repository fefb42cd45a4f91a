/**
 * `parity run` prints what was found and ends with 1 where something disagrees; `parity verify-certificate` says whether that
 * still holds.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { showFindings } from '../../../src/cli/commands/parity_run.ts'
import { runModel, type ModelOutcome } from '../../../src/parity/run_model.ts'
import { runOp } from '../../../src/parity/run_ops.ts'
import { loadSmallModel } from '../../evaluation/small_model.ts'
import { mutateKernel } from '../../harness/mutate.ts'
import { tinyFolder } from '../run_cli.ts'
import { quietSession, runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-parity-run-'))
afterAll(() => rmSync(folder, { recursive: true }))

const reference = await createBackend('reference')

/** What the command prints of a backend's add, and of a model where there is one, and its exit code. */
async function shown(
  backend: Backend,
  {
    json = false,
    complete = true,
    model = null,
  }: { json?: boolean; complete?: boolean; model?: ModelOutcome | null } = {},
): Promise<{ text: string; code: number }> {
  let text = ''
  const session = quietSession((words) => (text += words))
  const ops = [runOp(backend, 'add', { seed: 0, small: true })]
  await showFindings(session, { backend: 'wasm', seed: 0, json }, { ops, model, complete })
  return { text, code: session.exitCode }
}

const wrongSum = mutateKernel(reference, 'add', (add) => (y, a, b, N) => {
  add(y, a, b, N)
  if (N === 5) y[4] = 99
})

test('a run that is interrupted says that nothing is known of the rest', async () => {
  const { code, stdout } = await runInside(['parity', 'run', '--ops', 'relu,add', '--small'], {
    interruptWhen: ({ update }) => update?.done === 1,
  })
  expect([code, stdout]).toEqual([130, expect.stringContaining('nothing is known of the rest')])
})

describe('what is printed', () => {
  test('of a backend that agrees ends with the count', async () => {
    const { text, code } = await shown(reference)
    expect(text).toMatch(/^ok +add +bits /m)
    expect(text).toMatch(/\npassed: 1 op\n$/)
    expect(code).toBe(0)
  })

  test('of one that disagrees names op, number and sizes, and exits with code 1', async () => {
    const { text, code } = await shown(wrongSum)
    expect(text).toMatch(/^FAIL +add +bits .* N=5 /m)
    expect(text).toMatch(/\nfailed: add: y\[4\] is 99, expected -?[\d.e-]+, at N=5\n$/)
    expect(code).toBe(1)
    expect(JSON.parse((await shown(wrongSum, { json: true })).text)).toMatchObject({ passed: false })
  })

  test('of a model that differs names the tensor, its index and both numbers', async () => {
    const broken = mutateKernel(reference, 'relu', (relu) => (y, x, N) => {
      relu(y, x, N)
      if (N > 0) y[0] += 1
    })
    const [model, other] = [await loadSmallModel(broken), await loadSmallModel(reference)]
    const outcome = await runModel(model, other, { seed: 0, strict: true })
    model.dispose()
    other.dispose()
    const { text, code } = await shown(reference, { model: outcome })
    expect(text).toMatch(/^FAIL +tensors +[^\n]*fc1_act[^\n]* past tolerance$/m)
    expect(text).toMatch(/\nfailed: the model's [\w.-]+ at \[[\d, ]+\]: \S+ and \S+\n$/)
    expect(code).toBe(1)
  })

  test('of an interrupted run does not report success', async () => {
    expect((await shown(reference, { complete: false })).text).toMatch(/\nstopped: 1 op passed, [^\n]+\n$/)
    expect((await shown(wrongSum, { complete: false })).text).toMatch(/\nfailed: add: /)
  })

  test('of one that throws has its message', async () => {
    const broken = mutateKernel(reference, 'add', () => () => {
      throw new Error('no such kernel')
    })
    const { text, code } = await shown(broken)
    expect(text).toMatch(/\nfailed: add: no such kernel\n$/)
    expect(code).toBe(1)
  })
})

describe('the command', () => {
  test('compares every op and a model, and certifies them', async () => {
    const certificate = join(folder, 'certificate.json')
    const args = ['parity', 'run', '--small', '-m', tinyFolder, '--certificate', certificate]
    const { code, stdout, stderr } = await runInside(args)
    expect(stdout).toMatch(/\npassed: \d+ ops and the model\n$/)
    expect([code, stderr]).toEqual([0, ''])
    expect(JSON.parse(readFileSync(certificate, 'utf8'))).toMatchObject({
      passed: true,
      model: { passed: true },
      provenance: { argv: args },
    })
    expect(await runInside(['parity', 'verify-certificate', certificate])).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/\ncovers +(\d+) of \1 ops and a model\n[^]*\nholds: [^\n]+\n$/),
    })

    const stale = join(folder, 'stale.json')
    const text = readFileSync(certificate, 'utf8')
    writeFileSync(stale, text.replace(/"kernels": "..../, '"kernels": "0000'))
    const {
      code: staleCode,
      stdout: nothing,
      stderr: line,
    } = await runInside(['parity', 'verify-certificate', stale])
    expect([staleCode, nothing]).toEqual([1, ''])
    expect(line).toMatch(/^shadowllm: [^\n]+ run parity again \[CERTIFICATE_STALE\]\n$/)
  })

  test('takes ops by name, alone, as one JSON object', async () => {
    const { code, stdout, stderr } = await runInside([
      'parity',
      'run',
      '--ops',
      'add,relu',
      '--small',
      '--json',
    ])
    expect([code, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toMatchObject({
      backend: 'wasm',
      passed: true,
      model: null,
      ops: [{ op: 'add' }, { op: 'relu' }],
    })
  })

  test.each<[string, string[], number, string]>([
    ['an op that there is not', ['run', '--ops', 'linaer'], 2, 'OPS'],
    ['a certificate into nowhere', ['run', '--certificate', join(folder, 'none', 'c.json')], 2, 'OUTPUT'],
    ['a certificate that is missing', ['verify-certificate', join(folder, 'none.json')], 3, 'FILE_MISSING'],
  ])('refuses %s', async (_, args, exitCode, errorCode) => {
    const { code, stdout, stderr } = await runInside(['parity', ...args])
    expect(stderr).toMatch(new RegExp(`^shadowllm: [^\\n]+ \\[${errorCode}\\]\\n$`))
    expect([code, stdout]).toEqual([exitCode, ''])
  })
})
