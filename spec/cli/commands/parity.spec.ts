/**
 * `shadowllm parity export` and `parity check`: backends pass against the golden file, and one wrong number is named. Tests
 * src/cli/commands/parity.ts.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { casesOf, variants } from '../../golden/golden.ts'
import { portableNames } from '../../harness/strict.ts'
import { tinyFolder } from '../run_cli.ts'
import { runInside, runJson } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-parity-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('parity', () => {
  const [variant] = variants
  const golden = `${tinyFolder}/cases/${casesOf[variant][0]}.safetensors`
  const exportTo = async (name: string, backend: string): Promise<string> => {
    const output = join(folder, name)
    const args = ['parity', 'export', '-m', tinyFolder, '--cases', golden, '-o', output, '--backend', backend]
    expect(await runInside(args)).toMatchObject({ code: 0, stderr: '' })
    return output
  }

  test('backends pass against the golden file, and against each other bit for bit', async () => {
    const [first, second] = await Promise.all(
      portableNames.map((name) => exportTo(`${name}.safetensors`, name)),
    )
    const { code, stdout, stderr } = await runInside(['parity', 'check', golden, first])
    expect(stdout).toMatch(/\npassed: 29 of 74 tensors within tolerance\n$/)
    expect([code, stderr]).toEqual([0, ''])
    expect(await runJson('parity', 'check', first, second, '--tolerance', '0')).toMatchObject({
      passed: true,
      worst: null,
    })
  })

  test('one wrong number exits with code 1, naming the tensor and the index', async () => {
    const path = await exportTo('corrupted.safetensors', 'wasm')
    const bytes = readFileSync(path)
    const length = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<
      string,
      { data_offsets: [number, number] }
    >
    const at = 8 + length + header.logits.data_offsets[0] + 4 * (99 + 7)
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1e-3, at)
    writeFileSync(path, bytes)
    const { code, stdout, stderr } = await runInside(['parity', 'check', golden, path])
    expect(stdout).toMatch(/^FAIL  logits /m)
    expect(stdout).toMatch(/\nfailed: 1 of 29 tensors past tolerance, worst logits at \[0, 1, 7\]: .*\n$/)
    expect([code, stderr]).toEqual([1, ''])
  })
})
