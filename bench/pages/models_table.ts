/**
 * The models that are read, from the records that say so, and what each was checked against, from the files of expected values.
 */
import { globSync, readFileSync } from 'node:fs'
import { modelTypes } from '../../src/engine/config.ts'
import { architectureNames } from '../../src/io/gguf_model.ts'
import { pathOfUrl } from '../../src/platform/platform.ts'
import { markdownTable } from './table.ts'

const fixtures = pathOfUrl(new URL('../../fixtures/', import.meta.url))

/** A variant with expected values of Hugging Face. */
interface Variant {
  readonly name: string
  readonly type: string
  /** Whether there is a file of llama.cpp, and its greedy text. */
  readonly isInGguf: boolean
}

function variants(): Variant[] {
  const inGguf = new Set(
    globSync('golden{-llama/gguf/models,-families/gguf}/*.F32.gguf', { cwd: fixtures }).map((path) =>
      path.replace(/^.*\/|\.F32\.gguf$/g, ''),
    ),
  )
  return globSync('golden{,-llama,-families}/*/config.json', { cwd: fixtures })
    .toSorted()
    .map((path) => {
      const [, name] = path.split('/')
      const { model_type } = JSON.parse(readFileSync(fixtures + path, 'utf8')) as { model_type: string }
      return { name, type: model_type, isInGguf: inGguf.has(name) }
    })
}

/** The models in words: "OPT, Llama, ... and Gemma 3 (text)". */
export function modelsInWords(): string {
  const words = Object.values(modelTypes)
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

/** A row for each model. */
export function modelsTable(): string {
  const known = variants()
  const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ')
  const rows = Object.entries(modelTypes).map(([type, words]) => {
    const own = known.filter((one) => one.type === type)
    const architecture = type === 'mistral' ? 'llama' : type.replace(/_text$/, '')
    return [
      words,
      code([type]),
      code(architectureNames.filter((name) => name === architecture)) || '-',
      code(own.map(({ name }) => name)) || 'the engine laws alone',
      code(own.filter(({ isInGguf }) => isInGguf).map(({ name }) => name)) || '-',
    ]
  })
  return markdownTable(
    ['model', '`model_type`', 'in GGUF', 'float64 values of transformers', 'texts of llama.cpp'],
    rows,
  )
}
