/**
 * JSON schemas of what commands print, made from the types in src/cli/json_outputs.ts.
 *
 * The generator stands in the workspace docs: it needs an older TypeScript than the project's own.
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { format } from 'oxfmt'
import type { JsonOutputs } from '../src/cli/json_outputs.ts'
import { kernelNames } from '../src/ops/catalog.ts'
import { plannerNames } from '../src/planners/index.ts'

/** A schema, as far as it is read here. */
type Schema = Readonly<Record<string, unknown>>

/** What is used of ts-json-schema-generator. */
interface Generator {
  readonly DEFAULT_CONFIG: object
  readonly EnumType: new (id: string, values: readonly string[]) => object
  readonly SchemaGenerator: new (
    program: object,
    parser: object,
    formatter: object,
    config: object,
  ) => {
    createSchema(type: string): Schema
  }
  createProgram(config: object): object
  createParser(
    program: object,
    config: object,
    augment: (parser: { addNodeParser(one: object): void }) => void,
  ): object
  createFormatter(config: object): object
}

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** Where the schemas are. */
export const schemaFolder: string = at('docs/schemas')

/** The file of a command: `parity-check-ops.json`. */
export function schemaFile(command: string): string {
  return `${command.replaceAll(' ', '-')}.json`
}

/**
 * The text of each schema, by the name of its file.
 * @throws Error MODULE_NOT_FOUND if docs is not installed
 */
export async function makeSchemas(): Promise<Map<string, string>> {
  const generator = createRequire(at('docs/package.json'))('ts-json-schema-generator') as Generator
  const config = {
    ...generator.DEFAULT_CONFIG,
    path: at('src/cli/json_outputs.ts'),
    tsconfig: at('tsconfig.build.json'),
    type: 'JsonOutputs',
    topRef: false,
    skipTypeCheck: true,
    additionalProperties: false,
  }
  const program = generator.createProgram(config)
  const parser = generator.createParser(program, config, (own) => own.addNodeParser(listedNames(generator)))
  const formatter = generator.createFormatter(config)
  const whole = new generator.SchemaGenerator(program, parser, formatter, config).createSchema('JsonOutputs')
  const { properties, definitions } = whole as {
    properties: Record<keyof JsonOutputs, Schema>
    definitions: Schema
  }
  const files = new Map<string, string>()
  for (const [command, schema] of Object.entries(properties)) {
    const own = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      title: `shadowllm ${command} --json`,
      ...schema,
      definitions: reachable(schema, definitions),
    }
    const { code } = await format('schema.json', JSON.stringify(own), { printWidth: 110 })
    files.set(schemaFile(command), code)
  }
  return files
}

/** Numbers of a backend that is tested: they may be no numbers, for which JSON has null. */
const unchecked: Readonly<Record<string, readonly string[]>> = {
  PlacedDifference: ['expected', 'actual', 'error'],
  TensorComparison: ['worstAbsolute', 'worstRelative'],
}

/** A definition that allows null in place of its unchecked numbers. */
function withNull(name: string, definition: Schema): Schema {
  const properties = Object.entries((definition.properties ?? {}) as Record<string, Schema>)
  if (!Object.hasOwn(unchecked, name)) return definition
  const allowed = properties.map(([key, schema]) => [
    key,
    unchecked[name].includes(key) ? { ...schema, type: ['number', 'null'] } : schema,
  ])
  return { ...definition, properties: Object.fromEntries(allowed) as Schema }
}

/** Types of names that are computed from lists, which the generator cannot follow. */
const listed: Readonly<Record<string, readonly string[]>> = {
  KernelName: kernelNames,
  PlannerName: plannerNames,
}

function listedNames({ EnumType }: Generator): object {
  const nameOf = (node: { readonly typeName?: { readonly escapedText?: string } }): string =>
    String(node.typeName?.escapedText)
  return {
    supportsNode: (node: object) => Object.hasOwn(listed, nameOf(node)),
    createType: (node: object) => new EnumType(nameOf(node), listed[nameOf(node)]),
  }
}

/** The definitions that a schema names, and those that they name, by name. */
function reachable(schema: Schema, definitions: Schema): Schema {
  const found = new Map<string, unknown>()
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (key !== '$ref' || typeof inner !== 'string') {
        look(inner)
        continue
      }
      const name = decodeURIComponent(inner.replace('#/definitions/', ''))
      if (found.has(name)) continue
      found.set(name, withNull(name, definitions[name] as Schema))
      look(definitions[name])
    }
  }
  look(schema)
  return Object.fromEntries([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
