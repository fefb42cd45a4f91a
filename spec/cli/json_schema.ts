/**
 * Holds what a command prints with `--json` to its schema in docs/schemas. Every run of a command inside this process is held
 * to it (run_inside.ts and options/observe.ts), so that each flag is.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import { schemaFile, schemaFolder } from '../../scripts/schemas.ts'

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true })
const known = new Map<string, ValidateFunction>()

/** The commands that print one object in each line. */
const linewise: readonly string[] = ['chat', 'worker']

/** The command of a command line: its first word, of `parity` the first two. */
function commandOf(args: readonly string[]): string {
  return args.slice(0, args[0] === 'parity' ? 2 : 1).join(' ')
}

/** The check of a command's objects. @throws Error if there is no schema */
export function schemaOf(command: string): ValidateFunction {
  const found = known.get(command)
  if (found) return found
  const path = join(schemaFolder, schemaFile(command))
  if (!existsSync(path)) throw new Error(`${command} --json: expected ${path}, got no such file`)
  const validate = ajv.compile(JSON.parse(readFileSync(path, 'utf8')) as object)
  known.set(command, validate)
  return validate
}

/**
 * Checks the output of a command line that asks for JSON; others pass, as does no output.
 * @throws Error that names what the schema does not allow
 */
export function checkOutput(args: readonly string[], stdout: string): void {
  if (!args.includes('--json') || !stdout.startsWith('{')) return
  const command = commandOf(args)
  const validate = schemaOf(command)
  const objects = linewise.includes(command) ? stdout.trimEnd().split('\n') : [stdout]
  for (const object of objects)
    if (!validate(JSON.parse(object)))
      throw new Error(`shadowllm ${args.join(' ')}: ${ajv.errorsText(validate.errors)}`)
}
