/**
 * Before each spec file: its properties get the seed of the run, also those stated without `law`, and it gets a temporary
 * folder.
 */
import { expect, inject } from 'vitest'
import { configureProperties } from './seed.ts'
import { useOwnFolder } from './temporary.ts'

configureProperties()
useOwnFolder(inject('temporaryFolder'), expect.getState().testPath ?? '')
