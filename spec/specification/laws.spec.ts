import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { overEveryBackend } from '../harness/backends.ts'
import { stateLaws } from '../model/cases.ts'

stateLaws('the engine equals the specification', engineLaws, overEveryBackend)
