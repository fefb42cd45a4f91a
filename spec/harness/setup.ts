/**
 * Before each spec file: every property of it gets the run's seed, those stated without `law` too, and it gets a folder for
 * its temporary files.
 */
import { expect, inject } from 'vitest'
import { configureProperties } from './seed.ts'
import { useOwnFolder } from './temporary.ts'

configureProperties()
useOwnFolder(inject('temporaryFolder'), expect.getState().testPath ?? '')
