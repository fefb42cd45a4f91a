/**
 * The schemas in docs/schemas are those of the types: made again, they are the same.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeSchemas, schemaFolder } from '../../scripts/schemas.ts'
import { root } from './run_cli.ts'

const isInstalled = ['docs/node_modules', 'node_modules'].some((folder) =>
  existsSync(join(root, folder, 'ts-json-schema-generator')),
)

test.skipIf(!isInstalled)(
  `npm run build:schemas would change nothing${isInstalled ? '' : ': it needs the workspace docs'}`,
  async () => {
    for (const [name, text] of await makeSchemas())
      expect(readFileSync(join(schemaFolder, name), 'utf8'), name).toBe(text)
  },
)
