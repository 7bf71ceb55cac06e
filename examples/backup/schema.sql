create table if not exists ships (name text primary key);
insert into ships values ('Ever Given'), ('Emma') on conflict do nothing;
