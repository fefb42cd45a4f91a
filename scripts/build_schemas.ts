/**
 * `npm run build:schemas`: writes docs/schemas, a JSON schema for what each command prints with `--json`, from the types in
 * src/cli/json_outputs.ts.
 *
 *   node scripts/node.mjs scripts/build_schemas.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeSchemas, schemaFolder } from './schemas.ts'

mkdirSync(schemaFolder, { recursive: true })
for (const [name, text] of await makeSchemas()) writeFileSync(join(schemaFolder, name), text)
