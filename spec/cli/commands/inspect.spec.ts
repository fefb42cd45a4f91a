/**
 * `shadowllm inspect`: tensors, the configuration, and the errors of storages. Tests src/cli/commands/inspect.ts.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { makeConfig } from '../../../src/engine/config.ts'
import { parameterShapes } from '../../../src/engine/program.ts'
import { openWith } from '../../../src/io/files.ts'
import { readGgufHeader } from '../../../src/io/gguf.ts'
import { ggufNames } from '../../../src/io/gguf_model.ts'
import { writeSafetensors, type TensorToWrite } from '../../../src/io/safetensors_writer.ts'
import type { TensorInfo } from '../../../src/tensor/tensor_source.ts'
import { writeChatModel } from '../../library/chat_model.ts'
import { tinyFolder } from '../run_cli.ts'
import { runInside, runJson } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-inspect-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('inspect', () => {
  test('lists tensors and the configuration', async () => {
    const contents = await runJson('inspect', 'fixtures/tiny-opt')
    expect(contents).toMatchObject({ parameters: 7_433_216, config: { layers: 8, neurons: 1024 } })
    expect((contents.tensors as object[])[0]).toEqual({
      name: 'model.decoder.embed_positions.weight',
      dtype: 'F16',
      shape: [258, 256],
      byteLength: 132_096,
    })
  })

  const gated = {
    hidden_size: 16,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    intermediate_size: 32,
    bos_token_id: 1,
    eos_token_id: 0,
  }
  test.each<[name: string, config: object, said: string]>([
    [
      'mistral',
      { model_type: 'mistral', num_key_value_heads: 2, sliding_window: 32, tie_word_embeddings: true },
      'Llama family: 4 layers of width 16, 4 heads of 4 in 2 groups, 32 gated neurons; vocabulary 700; 400 positions; 4 layers with a window of 32; norm before each branch; tied head',
    ],
    [
      'llama',
      { model_type: 'llama' },
      'Llama family: 4 layers of width 16, 4 heads of 4, 32 gated neurons; vocabulary 700; 400 positions; norm before each branch; head of its own',
    ],
    [
      'opt',
      {
        model_type: 'opt',
        ffn_dim: 32,
        word_embed_proj_dim: 8,
        do_layer_norm_before: false,
      },
      'OPT: 4 layers of width 16, 4 heads of 4, 32 neurons; vocabulary 700, embedded in 8; 400 positions; norm after each sum; tied head',
    ],
  ])('says of a model of the family %s what its configuration says', async (name, config, said) => {
    const model = join(folder, name)
    await writeChatModel(model, { config: { ...gated, ...config } })
    const { code, stdout } = await runInside(['inspect', join(model, 'model.safetensors')])
    expect(code).toBe(0)
    expect(stdout.split('\n')).toContain(said)
  })

  test('measures the error of each storage, and refuses an unknown one', async () => {
    const report = await runJson('inspect', 'fixtures/tiny-opt', '--storage', 'int8,int4', '--texts', '1')
    const [exact, int8, int4] = report.storages as { storage: string; kl: number; tokens: number }[]
    expect(exact).toMatchObject({ storage: 'f32', kl: 0, tokens: 127 })
    expect(int8.storage).toBe('int8')
    expect(int8.kl).toBeLessThan(0.001)
    expect(int4).toMatchObject({ storage: 'int4', tokens: 127 })
    expect(int4.kl).toBeGreaterThan(int8.kl)
    expect(int4.kl).toBeLessThan(0.05)
    const { code, stderr } = await runInside(['inspect', 'fixtures/tiny-opt', '--storage', 'int3'])
    expect([code, stderr]).toEqual([2, expect.stringContaining('--storage: expected one of f32, bf16')])
  })

  test.each([true, false])('counts an own head and no tied one: tied %s', async (tied) => {
    const sizes = { layers: 1, width: 4, heads: 1, neurons: 8, vocabulary: 16, positions: 8 }
    const config = { ...makeConfig(sizes), tied }
    const path = join(folder, `tied ${tied}`)
    mkdirSync(path)
    const fields = { hidden_size: 4, num_hidden_layers: 1, num_attention_heads: 1, ffn_dim: 8 }
    const words = { model_type: 'opt', vocab_size: 16, max_position_embeddings: 8, tie_word_embeddings: tied }
    writeFileSync(join(path, 'config.json'), JSON.stringify({ ...words, ...fields }))
    // A head is written either way: where it is tied, it is one name more of the same numbers.
    const shapes = parameterShapes({ ...config, tied: false })
    const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)
    const tensors = [...shapes].map(([name, shape]): [string, TensorToWrite] => {
      return [name, { dtype: 'F32', shape, data: new Float32Array(size(shape)) }]
    })
    await writeSafetensors(join(path, 'model.safetensors'), new Map(tensors))
    const own = [...parameterShapes(config).values()].reduce((sum, shape) => sum + size(shape), 0)
    expect([...shapes.keys()]).toContain('lm_head.weight')
    expect(await runJson('inspect', path)).toMatchObject({ parameters: own, config: { tied } })
  })

  test('counts tied weights of a .bin once, and names them', async () => {
    const { code, stdout } = await runInside(['inspect', `${tinyFolder}/pytorch_model.bin`])
    // `head` shows it.
    expect(stdout.split('\n')[0]).toContain('37 tensors, 22,432 parameters')
    expect(stdout).toMatch(/lm_head\.weight .* same as model\.decoder\.embed_tokens\.weight/)
    expect(code).toBe(0)
  })

  test.each(['F32', 'Q8_0'])(
    'shows the tensors of a GGUF file of %s whose layers have fewer units as the file has them',
    async (type) => {
      const whole = 'fixtures/golden-llama/gguf/models/llama_gqa.F32.gguf'
      const [mask, small] = [join(folder, `${type}.safetensors`), join(folder, `${type}.gguf`)]
      const choice = ['--planner', 'random', '--sparsity', '0.5', '--scope', 'per-layer', '-o', mask]
      expect(await runInside(['masks', 'a', '-m', whole, ...choice])).toMatchObject({ code: 0 })
      expect(await runInside(['convert', whole, small, '--mask', mask, '--type', type])).toMatchObject({
        code: 0,
      })
      const header = await openWith(small, async (file) => {
        const { tensors } = await readGgufHeader(file, small)
        await file.close()
        return tensors
      })
      const names = ggufNames('deci', 3)
      const held = [...header.values()].map(({ name, shape, byteLength }) => [
        names.get(name)?.hugging,
        { shape, byteLength },
      ])
      const contents = await runJson('inspect', small)
      const tensors = contents.tensors as TensorInfo[]
      const shown = tensors.map(({ name, shape, byteLength, stored = { byteLength } }) => [
        name,
        { shape, byteLength: stored.byteLength },
      ])
      expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(held))
      const sum = (of: (tensor: TensorInfo) => number): number =>
        tensors.reduce((all, one) => all + of(one), 0)
      expect(contents).toMatchObject({
        layersDiffer: true,
        parameters: sum(({ shape }) => shape.reduce((product, n) => product * n, 1)),
        bytes: sum(({ byteLength, stored }) => stored?.byteLength ?? byteLength),
      })
      const { stdout } = await runInside(['inspect', small])
      expect(stdout).toContain('layers differ: heads and neurons are those of the layer that has most')
    },
  )
})
