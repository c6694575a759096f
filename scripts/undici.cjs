// The parts of undici the bundles ask for, each run when it is first asked for (see undiciApart in build.js).
module.exports = {
  get 'undici/lib/dispatcher/agent.js'() {
    return require('undici/lib/dispatcher/agent.js');
  },
  get undici() {
    return require('undici');
  },
};
