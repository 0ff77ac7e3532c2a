// The database user of the payment-service, with the rights that it needs and no more. Run it with mongosh as a user who may
// create users; again is fine: rights and password are then set to what stands here.
//   MONGO_PAYMENTS_PASSWORD=… mongosh 'mongodb://admin@localhost/admin?replicaSet=rs0' payment-service/mongo/user.js
//   MONGO_URI=mongodb://payments:…@localhost/paystream?replicaSet=rs0
// MONGO_DATABASE names the database (paystream), MONGO_PAYMENTS_USER the user (payments).

const {
  MONGO_PAYMENTS_PASSWORD,
  MONGO_PAYMENTS_USER = 'payments',
  MONGO_DATABASE = 'paystream',
} = process.env;
if (!MONGO_PAYMENTS_PASSWORD) throw new Error('Set MONGO_PAYMENTS_PASSWORD: the password of the user.');

// It makes its indexes itself, at its start and before the first write that needs one: without them it would not be exact.
// `find` is also what the list and the pages need, `remove` only the marker of a message that was settled. Nothing may be
// dropped, and no transaction, webhook or trace of a redrive removed: what is old is removed by the database (TTL indexes).
const actions = {
  transactions: ['find', 'insert', 'update', 'createIndex'],
  webhooks: ['find', 'insert', 'update', 'createIndex'],
  redrives: ['find', 'insert', 'update', 'createIndex'],
  suspects: ['find', 'insert', 'update', 'remove', 'createIndex'],
  settings: ['find', 'insert', 'update'],
};

const role = 'paystream-payment-service';
const database = db.getSiblingDB(MONGO_DATABASE);
const rights = {
  privileges: Object.entries(actions).map(([collection, allowed]) => ({
    resource: { db: MONGO_DATABASE, collection },
    actions: allowed,
  })),
  roles: [],
};
const user = { pwd: MONGO_PAYMENTS_PASSWORD, roles: [role] };

const hasRole = database.runCommand({ rolesInfo: role }).roles.length > 0;
database.runCommand({ [hasRole ? 'updateRole' : 'createRole']: role, ...rights });
const hasUser = database.runCommand({ usersInfo: MONGO_PAYMENTS_USER }).users.length > 0;
database.runCommand({ [hasUser ? 'updateUser' : 'createUser']: MONGO_PAYMENTS_USER, ...user });
print(`${MONGO_PAYMENTS_USER} may use the database ${MONGO_DATABASE} as ${role}`);
