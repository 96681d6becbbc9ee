-- One database for each service, made when the server starts for the first time.
CREATE DATABASE shop_user;
CREATE DATABASE shop_product;
CREATE DATABASE shop_inventory;
CREATE DATABASE shop_order;
CREATE DATABASE shop_payment;
CREATE DATABASE shop_shipping;
CREATE DATABASE shop_notification;
